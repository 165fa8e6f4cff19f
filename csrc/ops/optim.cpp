// Optimizer steps over lists of parameters, in place: checks, the coefficients that follow from each step's
// number, and one launch a dtype. A parameter that is not contiguous is updated through a copy.
#include <cmath>
#include <optional>
#include <vector>

#include "ops/ops.h"

namespace dlcore {

using Arrays = std::vector<Array>;
using Numbers = std::vector<double>;

namespace {

// Pointers, sizes and chunk counts of the arrays of one dtype.
struct Lists {
  std::vector<void*> data;
  std::vector<int64_t> size, first{0};
  void add(const Array& a) {
    data.push_back(a.data());
    size.push_back(a.numel());
    first.push_back(first.back() + (a.numel() + kOptimChunk - 1) / kOptimChunk);
  }
};

void check_list(const char* op, const char* name, const Arrays& a, size_t count) {
  if (a.size() != count)
    value_error(op, "there must be one entry for each parameter",
                {{"parameters", (int64_t)count}, {name, (int64_t)a.size()}});
}
void check_list(const char* op, const char* name, const Numbers& a, size_t count) {
  if (a.size() != count)
    value_error(op, "there must be one entry for each parameter",
                {{"parameters", (int64_t)count}, {name, (int64_t)a.size()}});
}

// `states` may hold empty lists (a state that the options do not need); so may `shrink`, the factor of each
// parameter's decoupled weight decay, and `scale`, that of each gradient.
void run(const char* op, OptimArgs args, const Arrays& params, const Arrays& grads,
         const std::vector<const Arrays*>& states, const Numbers& coef, const Numbers& shrink,
         const Numbers& scale) {
  check_list(op, "grads", grads, params.size());
  if (!shrink.empty()) check_list(op, "keep", shrink, params.size());
  if (!scale.empty()) check_list(op, "scale", scale, params.size());
  for (const Arrays* s : states)
    if (!s->empty()) check_list(op, "state", *s, params.size());
  for (size_t i = 0; i < params.size(); ++i) {
    check_floating(op, "param", params[i]);
    check_same(op, "param", params[i], "grad", grads[i]);
    check_same_device(op, "the first param", params[0], "param", params[i]);
    check_shape(op, "grad", grads[i], params[i].shape());
    check_writable(op, "param", params[i]);
    for (const Arrays* s : states) {
      if (s->empty()) continue;
      const Array& a = (*s)[i];
      check_same(op, "param", params[i], "state", a);
      check_shape(op, "state", a, params[i].shape());
      check_writable(op, "state", a);
      if (!a.contiguous()) value_error(op, "state must be contiguous", {{"state", a}});
    }
  }
  for (DType dtype : {DType::f32, DType::f64}) {
    Lists w;
    std::vector<const void*> g;
    std::vector<void*> state[3];
    Numbers c, kept, scaled;
    Arrays keep, copies, targets;
    for (size_t i = 0; i < params.size(); ++i) {
      if (params[i].dtype() != dtype) continue;
      const Array p = contiguous(params[i]), grad = contiguous(grads[i]);
      if (p.data() != params[i].data()) copies.push_back(p), targets.push_back(params[i]);
      keep.push_back(grad);
      w.add(p);
      g.push_back(grad.data());
      for (size_t k = 0; k < states.size(); ++k)
        if (!states[k]->empty()) state[k].push_back((*states[k])[i].data());
      for (int k = 0; k < 4; ++k) c.push_back(coef.empty() ? 0.0 : coef[4 * i + k]);
      kept.push_back(shrink.empty() ? 1.0 : shrink[i]);
      scaled.push_back(scale.empty() ? 1.0 : scale[i]);
    }
    if (w.first.back() == 0) continue;
    args.count = static_cast<int>(w.data.size());
    args.param = w.data.data(), args.grad = g.data(), args.size = w.size.data(), args.first = w.first.data();
    for (int k = 0; k < 3; ++k) args.state[k] = state[k].empty() ? nullptr : state[k].data();
    args.coef = c.data(), args.keep = kept.data(), args.scale = scaled.data();
    if (args.kind == Optim::lamb)
      DLCORE_LAUNCH(lamb_step, dtype, params[0].device(), args);
    else
      DLCORE_LAUNCH(optim_step, dtype, params[0].device(), args);
    for (size_t i = 0; i < copies.size(); ++i) copy_into(targets[i], copies[i]);
  }
}

OptimArgs make(Optim kind, double lr, double weight_decay, bool maximize, bool flag = false,
               bool rated = false) {
  OptimArgs a{};
  a.kind = kind, a.lr = lr, a.weight_decay = weight_decay, a.maximize = maximize, a.flag = flag,
  a.rated = rated;
  return a;
}

// The factors of torch's decoupled weight decay, which all parameters of a call share.
Numbers decoupled_decay(bool decoupled, size_t count, double lr, double weight_decay) {
  return decoupled && weight_decay != 0 ? Numbers(count, 1 - lr * weight_decay) : Numbers();
}

template <size_t N>
void set_h(OptimArgs& a, const double (&h)[N]) {
  for (size_t i = 0; i < N; ++i) a.h[i] = h[i];
}

}  // namespace

static void sgd_step(const Arrays& params, const Arrays& grads, const Arrays& buffers, const Numbers& steps,
                     double lr, double momentum, double dampening, double weight_decay, bool nesterov,
                     bool maximize, bool rated, const Numbers& keep, const Numbers& scale) {
  OptimArgs a = make(Optim::sgd, lr, weight_decay, maximize, nesterov, rated);
  set_h(a, {momentum, 1 - dampening});
  check_list("sgd_step", "steps", steps, params.size());
  if (momentum != 0) check_list("sgd_step", "buffers", buffers, params.size());
  Numbers coef;
  for (double step : steps) coef.insert(coef.end(), {step <= 1 ? 1.0 : 0.0, 0, 0, 0});
  run("sgd_step", a, params, grads, {&buffers}, coef, keep, scale);
}

static void adam_step(const Arrays& params, const Arrays& grads, const Arrays& m, const Arrays& v,
                      const Arrays& max_v, const Numbers& steps, double lr, double beta1, double beta2,
                      double epsilon, double weight_decay, bool amsgrad, bool maximize, bool decoupled,
                      bool epsilon_hat, const Numbers& keep, const Numbers& scale) {
  OptimArgs a = make(Optim::adam, lr, decoupled ? 0 : weight_decay, maximize, amsgrad);
  set_h(a, {1 - beta1, beta2, 1 - beta2});
  check_list("adam_step", "steps", steps, params.size());
  check_list("adam_step", "exp_avg", m, params.size());
  check_list("adam_step", "exp_avg_sq", v, params.size());
  if (amsgrad) check_list("adam_step", "max_exp_avg_sq", max_v, params.size());
  Numbers coef;
  for (double t : steps) {
    const double root = std::sqrt(1 - std::pow(beta2, t));
    coef.insert(coef.end(),
                {lr / (1 - std::pow(beta1, t)), 1 / root, epsilon_hat ? epsilon / root : epsilon, 0});
  }
  run("adam_step", a, params, grads, {&m, &v, &max_v}, coef,
      keep.empty() ? decoupled_decay(decoupled, params.size(), lr, weight_decay) : keep, scale);
}

// mu_products: of the steps so far, this one included.
static void nadam_step(const Arrays& params, const Arrays& grads, const Arrays& m, const Arrays& v,
                       const Numbers& mu_products, const Numbers& steps, double lr, double beta1,
                       double beta2, double epsilon, double weight_decay, double momentum_decay,
                       bool decoupled, bool maximize, const Numbers& keep, const Numbers& scale) {
  OptimArgs a = make(Optim::nadam, lr, decoupled ? 0 : weight_decay, maximize);
  set_h(a, {1 - beta1, beta2, 1 - beta2, epsilon});
  check_list("nadam_step", "steps", steps, params.size());
  check_list("nadam_step", "mu_products", mu_products, params.size());
  check_list("nadam_step", "exp_avg", m, params.size());
  check_list("nadam_step", "exp_avg_sq", v, params.size());
  Numbers coef;
  for (size_t i = 0; i < steps.size(); ++i) {
    const double t = steps[i], mu = beta1 * (1 - 0.5 * std::pow(0.96, t * momentum_decay));
    const double next = beta1 * (1 - 0.5 * std::pow(0.96, (t + 1) * momentum_decay));
    coef.insert(coef.end(), {lr * (1 - mu) / (1 - mu_products[i]), lr * next / (1 - mu_products[i] * next),
                             1 / (1 - std::pow(beta2, t)), 0});
  }
  run("nadam_step", a, params, grads, {&m, &v}, coef,
      keep.empty() ? decoupled_decay(decoupled, params.size(), lr, weight_decay) : keep, scale);
}

static void radam_step(const Arrays& params, const Arrays& grads, const Arrays& m, const Arrays& v,
                       const Numbers& steps, double lr, double beta1, double beta2, double epsilon,
                       double weight_decay, bool decoupled, bool maximize) {
  OptimArgs a = make(Optim::radam, lr, decoupled ? 0 : weight_decay, maximize);
  set_h(a, {1 - beta1, beta2, 1 - beta2, epsilon});
  check_list("radam_step", "steps", steps, params.size());
  check_list("radam_step", "exp_avg", m, params.size());
  check_list("radam_step", "exp_avg_sq", v, params.size());
  Numbers coef;
  const double rho_inf = 2 / (1 - beta2) - 1;
  for (double t : steps) {
    const double bias2 = 1 - std::pow(beta2, t), rho = rho_inf - 2 * t * std::pow(beta2, t) / bias2;
    double rate = lr / (1 - std::pow(beta1, t));
    if (rho > 5)
      rate *= std::sqrt(bias2 * (rho - 4) * (rho - 2) * rho_inf / ((rho_inf - 4) * (rho_inf - 2) * rho));
    coef.insert(coef.end(), {rate, rho > 5 ? 1.0 : 0.0, 0, 0});
  }
  run("radam_step", a, params, grads, {&m, &v}, coef,
      decoupled_decay(decoupled, params.size(), lr, weight_decay), {});
}

static void adamax_step(const Arrays& params, const Arrays& grads, const Arrays& m, const Arrays& u,
                        const Numbers& steps, double lr, double beta1, double beta2, double epsilon,
                        double weight_decay, bool maximize, bool epsilon_below, const Numbers& keep,
                        const Numbers& scale) {
  OptimArgs a = make(Optim::adamax, lr, weight_decay, maximize);
  set_h(a, {1 - beta1, beta2, epsilon_below ? epsilon : 0, epsilon_below ? 0 : epsilon});
  check_list("adamax_step", "steps", steps, params.size());
  check_list("adamax_step", "exp_avg", m, params.size());
  check_list("adamax_step", "exp_inf", u, params.size());
  Numbers coef;
  for (double t : steps) coef.insert(coef.end(), {lr / (1 - std::pow(beta1, t)), 0, 0, 0});
  run("adamax_step", a, params, grads, {&m, &u}, coef, keep, scale);
}

static void rmsprop_step(const Arrays& params, const Arrays& grads, const Arrays& square, const Arrays& mean,
                         const Arrays& velocity, double lr, double alpha, double epsilon, double weight_decay,
                         double momentum, bool centered, bool maximize, bool epsilon_inside, bool rated,
                         const Numbers& keep, const Numbers& scale) {
  OptimArgs a = make(Optim::rmsprop, lr, weight_decay, maximize, centered, rated);
  set_h(a, {alpha, 1 - alpha, momentum, epsilon_inside ? 0 : epsilon});
  a.inside = epsilon_inside ? epsilon : 0;
  check_list("rmsprop_step", "square_avg", square, params.size());
  if (centered) check_list("rmsprop_step", "grad_avg", mean, params.size());
  if (momentum != 0) check_list("rmsprop_step", "momentum_buffer", velocity, params.size());
  run("rmsprop_step", a, params, grads, {&square, &mean, &velocity}, {}, keep, scale);
}

static void adagrad_step(const Arrays& params, const Arrays& grads, const Arrays& sum, const Numbers& steps,
                         double lr, double lr_decay, double epsilon, double weight_decay, bool maximize,
                         bool epsilon_inside, const Numbers& keep, const Numbers& scale) {
  OptimArgs a = make(Optim::adagrad, lr, weight_decay, maximize);
  set_h(a, {0, 0, 0, epsilon_inside ? 0 : epsilon});
  a.inside = epsilon_inside ? epsilon : 0;
  check_list("adagrad_step", "steps", steps, params.size());
  check_list("adagrad_step", "sum", sum, params.size());
  Numbers coef;
  for (double t : steps) coef.insert(coef.end(), {lr / (1 + (t - 1) * lr_decay), 0, 0, 0});
  run("adagrad_step", a, params, grads, {&sum}, coef, keep, scale);
}

static void adadelta_step(const Arrays& params, const Arrays& grads, const Arrays& square,
                          const Arrays& delta, double lr, double rho, double epsilon, double weight_decay,
                          bool maximize, const Numbers& keep, const Numbers& scale) {
  OptimArgs a = make(Optim::adadelta, lr, weight_decay, maximize);
  set_h(a, {rho, 1 - rho, 0, epsilon});
  check_list("adadelta_step", "square_avg", square, params.size());
  check_list("adadelta_step", "acc_delta", delta, params.size());
  run("adadelta_step", a, params, grads, {&square, &delta}, {}, keep, scale);
}

static void lion_step(const Arrays& params, const Arrays& grads, const Arrays& m, double lr, double beta1,
                      double beta2, double weight_decay, bool maximize, const Numbers& keep,
                      const Numbers& scale) {
  OptimArgs a = make(Optim::lion, lr, 0, maximize);
  set_h(a, {1 - beta1, 1 - beta2});
  check_list("lion_step", "exp_avg", m, params.size());
  run("lion_step", a, params, grads, {&m}, {},
      keep.empty() ? decoupled_decay(true, params.size(), lr, weight_decay) : keep, scale);
}

// l2 holds what follows from beta too: l2 + beta / (2 lr).
static void ftrl_step(const Arrays& params, const Arrays& grads, const Arrays& sum, const Arrays& linear,
                      double lr, double power, double l1, double l2, double shrinkage, double beta,
                      const Numbers& keep, const Numbers& scale) {
  OptimArgs a = make(Optim::ftrl, lr, 0, false);
  set_h(a, {-power, l1, 2 * shrinkage});
  check_list("ftrl_step", "sum", sum, params.size());
  check_list("ftrl_step", "linear", linear, params.size());
  Numbers coef;
  for (size_t i = 0; i < params.size(); ++i)
    coef.insert(coef.end(), {1 / lr, 2 * (l2 + beta / (2 * lr)), 0, 0});
  run("ftrl_step", a, params, grads, {&sum, &linear}, coef, keep, scale);
}

static void schedule_free_step(const Arrays& params, const Arrays& grads, const Arrays& z, const Arrays& v,
                               const Numbers& steps, double lr, double beta1, double beta2, double epsilon,
                               const Numbers& keep, const Numbers& scale) {
  OptimArgs a = make(Optim::schedule_free, lr, 0, false);
  set_h(a, {beta1, beta2, 1 - beta2, epsilon});
  check_list("schedule_free_step", "steps", steps, params.size());
  check_list("schedule_free_step", "z", z, params.size());
  check_list("schedule_free_step", "exp_avg_sq", v, params.size());
  Numbers coef;
  for (double t : steps) coef.insert(coef.end(), {lr, 1 / (1 - std::pow(beta2, t)), 1 / t, 0});
  run("schedule_free_step", a, params, grads, {&z, &v}, coef, keep, scale);
}

static void lamb_step(const Arrays& params, const Arrays& grads, const Arrays& m, const Arrays& v,
                      const Numbers& steps, double lr, double beta1, double beta2, double epsilon,
                      const Numbers& keep, const Numbers& scale) {
  OptimArgs a = make(Optim::lamb, lr, 0, false);
  set_h(a, {1 - beta1, beta2, 1 - beta2, epsilon});
  check_list("lamb_step", "steps", steps, params.size());
  check_list("lamb_step", "exp_avg", m, params.size());
  check_list("lamb_step", "exp_avg_sq", v, params.size());
  Numbers coef;
  for (double t : steps)
    coef.insert(coef.end(), {1 / (1 - std::pow(beta1, t)), 1 / (1 - std::pow(beta2, t)), 0, 0});
  run("lamb_step", a, params, grads, {&m, &v}, coef, keep, scale);
}

// rows and columns hold the means of the parameters with two axes or more, in their order; variances those of
// the others, or (`full`) of all parameters.
static void adafactor_step(const Arrays& params, const Arrays& grads, const Arrays& rows,
                           const Arrays& columns, const Arrays& variances, const Numbers& fresh,
                           const Numbers& rates, double keep, double epsilon, double least_mean,
                           double least_variance, double least_rms, double threshold, bool maximize,
                           bool full) {
  const char* op = "adafactor_step";
  size_t matrices = 0;
  for (const Array& p : params) matrices += p.ndim() > 1;
  check_list(op, "grads", grads, params.size());
  check_list(op, "fresh", fresh, params.size());
  check_list(op, "rates", rates, params.size());
  check_list(op, "rows", rows, matrices);
  check_list(op, "columns", columns, matrices);
  check_list(op, "variances", variances, full ? params.size() : params.size() - matrices);
  auto check_state = [&](const char* name, const Array& param, const Array& a, int64_t numel) {
    check_same(op, "param", param, name, a);
    check_writable(op, name, a);
    if (!a.contiguous() || a.numel() != numel)
      value_error(op, "a state must be contiguous and fit its parameter", {{"param", param}, {name, a}});
  };
  for (DType dtype : {DType::f32, DType::f64}) {
    Lists w;
    std::vector<const void*> g;
    std::vector<void*> row, column, variance;
    std::vector<int64_t> dims, first{0};
    Numbers coef;
    Arrays kept, copies, targets;
    size_t matrix = 0, other = 0;
    for (size_t i = 0; i < params.size(); ++i) {
      const Array& p = params[i];
      check_floating(op, "param", p);
      check_same(op, "param", p, "grad", grads[i]);
      check_same_device(op, "the first param", params[0], "param", p);
      check_shape(op, "grad", grads[i], p.shape());
      check_writable(op, "param", p);
      const bool is_matrix = p.ndim() > 1;
      const Array *r = nullptr, *c = nullptr, *v = nullptr;
      if (is_matrix) r = &rows[matrix], c = &columns[matrix], ++matrix;
      if (!is_matrix || full) v = &variances[other++];
      const int64_t n = p.numel();
      if (v) check_state("variance", p, *v, n);
      int64_t shape[3] = {1, (n + kOptimChunk - 1) / kOptimChunk, kOptimChunk};
      if (is_matrix) {
        const int64_t last = p.shape()[p.ndim() - 1], before = p.shape()[p.ndim() - 2];
        if (n == 0) continue;
        shape[0] = n / last / before, shape[1] = before, shape[2] = last;
        check_state("row", p, *r, shape[0] * before);
        check_state("column", p, *c, shape[0] * last);
      }
      if (p.dtype() != dtype || n == 0) continue;
      const Array own = contiguous(p), grad = contiguous(grads[i]);
      if (own.data() != p.data()) copies.push_back(own), targets.push_back(p);
      kept.push_back(grad);
      w.add(own);
      g.push_back(grad.data());
      row.push_back(r ? r->data() : nullptr);
      column.push_back(c ? c->data() : nullptr);
      variance.push_back(v ? v->data() : nullptr);
      dims.insert(dims.end(), shape, shape + 3);
      const int64_t most = adafactor_rows(shape[2]);
      first.push_back(first.back() + shape[0] * ((shape[1] + most - 1) / most));
      coef.insert(coef.end(), {fresh[i], rates[i]});
    }
    if (w.data.empty()) continue;
    AdafactorArgs args{static_cast<int>(w.data.size()),
                       w.data.data(),
                       g.data(),
                       row.data(),
                       column.data(),
                       variance.data(),
                       w.size.data(),
                       first.data(),
                       dims.data(),
                       coef.data(),
                       keep,
                       epsilon,
                       least_mean,
                       least_variance,
                       least_rms,
                       threshold,
                       maximize};
    DLCORE_LAUNCH(adafactor_step, dtype, params[0].device(), args);
    for (size_t i = 0; i < copies.size(); ++i) copy_into(targets[i], copies[i]);
  }
}

// etas, mus: each parameter's own rate and weight of the newest in the average.
static void asgd_step(const Arrays& params, const Arrays& grads, const Arrays& average, const Numbers& etas,
                      const Numbers& mus, double lambda, double weight_decay, bool maximize) {
  OptimArgs a = make(Optim::asgd, 0, weight_decay, maximize);
  check_list("asgd_step", "etas", etas, params.size());
  check_list("asgd_step", "mus", mus, params.size());
  check_list("asgd_step", "ax", average, params.size());
  Numbers coef;
  for (size_t i = 0; i < etas.size(); ++i) coef.insert(coef.end(), {etas[i], lambda * etas[i], mus[i], 0});
  run("asgd_step", a, params, grads, {&average}, coef, {}, {});
}

static void rprop_step(const Arrays& params, const Arrays& grads, const Arrays& before, const Arrays& steps,
                       double eta_minus, double eta_plus, double least, double most, bool maximize) {
  OptimArgs a = make(Optim::rprop, 0, 0, maximize);
  set_h(a, {eta_minus, eta_plus, least, most});
  check_list("rprop_step", "prev", before, params.size());
  check_list("rprop_step", "step_size", steps, params.size());
  run("rprop_step", a, params, grads, {&before, &steps}, {}, {}, {});
}

// (sum |x|^order)^(1 / order) over all arrays; order infinity: the largest |x|. Summed in double.
static double multi_norm(const Arrays& arrays, double order) {
  if (!(order > 0)) value_error("multi_norm", "the order must be positive", {{"order", order}});
  const bool inf = std::isinf(order);
  double total = 0;
  for (DType dtype : {DType::f32, DType::f64}) {
    Lists x;
    Arrays keep;
    for (const Array& a : arrays) {
      check_floating("multi_norm", "x", a);
      check_same_device("multi_norm", "the first", arrays[0], "x", a);
      if (a.dtype() != dtype) continue;
      keep.push_back(contiguous(a));
      x.add(keep.back());
    }
    if (x.first.back() == 0) continue;
    double norm = 0;
    MultiNormArgs args{x.data.data(),      x.size.data(),     x.first.data(),
                       (int)x.data.size(), inf ? 0.0 : order, &norm};
    DLCORE_LAUNCH(multi_norm, dtype, arrays[0].device(), args);
    if (inf)
      total = norm > total || std::isnan(norm) ? norm : total;
    else
      total = total == 0 ? norm : std::pow(std::pow(total, order) + std::pow(norm, order), 1 / order);
  }
  return total;
}

static void multi_scale(const char* op, const Arrays& arrays, bool clamp, double factor, double low,
                        double high) {
  for (DType dtype : {DType::f32, DType::f64}) {
    Lists x;
    Arrays copies, targets, keep;
    for (const Array& a : arrays) {
      check_floating(op, "x", a);
      check_same_device(op, "the first", arrays[0], "x", a);
      check_writable(op, "x", a);
      if (a.dtype() != dtype) continue;
      keep.push_back(contiguous(a));
      if (keep.back().data() != a.data()) copies.push_back(keep.back()), targets.push_back(a);
      x.add(keep.back());
    }
    if (x.first.back() == 0) continue;
    MultiScaleArgs args{x.data.data(), x.size.data(), x.first.data(), (int)x.data.size(), clamp, factor,
                        low,           high};
    DLCORE_LAUNCH(multi_scale, dtype, arrays[0].device(), args);
    for (size_t i = 0; i < copies.size(); ++i) copy_into(targets[i], copies[i]);
  }
}

// The norm of all arrays, which are then scaled by min(1, max_norm / (norm + 1e-6)); not where it is not
// finite and `strict`. The norm counts in the arrays' precision, float32 where they are all of that.
static double clip_grad_norm(const Arrays& arrays, double max_norm, double order, bool strict) {
  double total = multi_norm(arrays, order);
  bool single = true;
  for (const Array& a : arrays) single = single && a.dtype() == DType::f32;
  if (single) total = static_cast<float>(total);
  const double factor = max_norm / (total + 1e-6);
  if (!(factor >= 1) && !(strict && !std::isfinite(total)))
    multi_scale("clip_grad_norm_", arrays, false, factor, 0, 0);
  return total;
}

// out = a x + b y for each of many arrays; with b = 0 a copy of x times a.
static void axpby(const Arrays& outs, const Numbers& as, const Arrays& xs, const Numbers& bs,
                  const Arrays& ys) {
  const char* op = "axpby_";
  check_list(op, "a", as, outs.size());
  check_list(op, "x", xs, outs.size());
  check_list(op, "b", bs, outs.size());
  check_list(op, "y", ys, outs.size());
  for (size_t i = 0; i < outs.size(); ++i) {
    check_floating(op, "out", outs[i]);
    check_same_device(op, "the first", outs[0], "out", outs[i]);
    check_writable(op, "out", outs[i]);
    for (const Array* a : {&xs[i], &ys[i]}) {
      check_same(op, "out", outs[i], a == &xs[i] ? "x" : "y", *a);
      check_shape(op, a == &xs[i] ? "x" : "y", *a, outs[i].shape());
    }
  }
  for (DType dtype : {DType::f32, DType::f64}) {
    Lists out;
    std::vector<const void*> x, y;
    Numbers coef;
    Arrays keep, copies, targets;
    for (size_t i = 0; i < outs.size(); ++i) {
      if (outs[i].dtype() != dtype) continue;
      const Array o = contiguous(outs[i]), a = contiguous(xs[i]), b = contiguous(ys[i]);
      if (o.data() != outs[i].data()) copies.push_back(o), targets.push_back(outs[i]);
      keep.push_back(o), keep.push_back(a), keep.push_back(b);
      out.add(o);
      x.push_back(a.data()), y.push_back(b.data());
      coef.insert(coef.end(), {as[i], bs[i]});
    }
    if (out.first.back() == 0) continue;
    MultiAxpbyArgs args{out.data.data(),  x.data(),    y.data(),     out.size.data(),
                        out.first.data(), coef.data(), (int)x.size()};
    DLCORE_LAUNCH(multi_axpby, dtype, outs[0].device(), args);
    for (size_t i = 0; i < copies.size(); ++i) copy_into(targets[i], copies[i]);
  }
}

void bind_optim(py::module_& m) {
  using namespace py::literals;
  def_op(m, "sgd_step", &sgd_step, "params"_a, "grads"_a, "buffers"_a, "steps"_a, "lr"_a, "momentum"_a = 0.0,
         "dampening"_a = 0.0, "weight_decay"_a = 0.0, "nesterov"_a = false, "maximize"_a = false,
         "rated"_a = false, "keep"_a = Numbers(), "scale"_a = Numbers());
  def_op(m, "adam_step", &adam_step, "params"_a, "grads"_a, "exp_avg"_a, "exp_avg_sq"_a, "max_exp_avg_sq"_a,
         "steps"_a, "lr"_a, "beta1"_a, "beta2"_a, "epsilon"_a, "weight_decay"_a = 0.0, "amsgrad"_a = false,
         "maximize"_a = false, "decoupled"_a = false, "epsilon_hat"_a = false, "keep"_a = Numbers(),
         "scale"_a = Numbers());
  def_op(m, "nadam_step", &nadam_step, "params"_a, "grads"_a, "exp_avg"_a, "exp_avg_sq"_a, "mu_products"_a,
         "steps"_a, "lr"_a, "beta1"_a, "beta2"_a, "epsilon"_a, "weight_decay"_a, "momentum_decay"_a,
         "decoupled"_a, "maximize"_a, "keep"_a = Numbers(), "scale"_a = Numbers());
  def_op(m, "radam_step", &radam_step, "params"_a, "grads"_a, "exp_avg"_a, "exp_avg_sq"_a, "steps"_a, "lr"_a,
         "beta1"_a, "beta2"_a, "epsilon"_a, "weight_decay"_a, "decoupled"_a, "maximize"_a);
  def_op(m, "adamax_step", &adamax_step, "params"_a, "grads"_a, "exp_avg"_a, "exp_inf"_a, "steps"_a, "lr"_a,
         "beta1"_a, "beta2"_a, "epsilon"_a, "weight_decay"_a, "maximize"_a, "epsilon_below"_a = false,
         "keep"_a = Numbers(), "scale"_a = Numbers());
  def_op(m, "rmsprop_step", &rmsprop_step, "params"_a, "grads"_a, "square_avg"_a, "grad_avg"_a,
         "momentum_buffer"_a, "lr"_a, "alpha"_a, "epsilon"_a, "weight_decay"_a, "momentum"_a, "centered"_a,
         "maximize"_a, "epsilon_inside"_a = false, "rated"_a = false, "keep"_a = Numbers(),
         "scale"_a = Numbers());
  def_op(m, "adagrad_step", &adagrad_step, "params"_a, "grads"_a, "sum"_a, "steps"_a, "lr"_a, "lr_decay"_a,
         "epsilon"_a, "weight_decay"_a, "maximize"_a, "epsilon_inside"_a = false, "keep"_a = Numbers(),
         "scale"_a = Numbers());
  def_op(m, "adadelta_step", &adadelta_step, "params"_a, "grads"_a, "square_avg"_a, "acc_delta"_a, "lr"_a,
         "rho"_a, "epsilon"_a, "weight_decay"_a, "maximize"_a, "keep"_a = Numbers(), "scale"_a = Numbers());
  def_op(m, "lion_step", &lion_step, "params"_a, "grads"_a, "exp_avg"_a, "lr"_a, "beta1"_a, "beta2"_a,
         "weight_decay"_a = 0.0, "maximize"_a = false, "keep"_a = Numbers(), "scale"_a = Numbers());
  def_op(m, "ftrl_step", &ftrl_step, "params"_a, "grads"_a, "sum"_a, "linear"_a, "lr"_a, "power"_a, "l1"_a,
         "l2"_a, "shrinkage"_a, "beta"_a, "keep"_a = Numbers(), "scale"_a = Numbers());
  def_op(m, "schedule_free_step", &schedule_free_step, "params"_a, "grads"_a, "z"_a, "exp_avg_sq"_a,
         "steps"_a, "lr"_a, "beta1"_a, "beta2"_a, "epsilon"_a, "keep"_a = Numbers(), "scale"_a = Numbers());
  def_op(m, "lamb_step", &lamb_step, "params"_a, "grads"_a, "exp_avg"_a, "exp_avg_sq"_a, "steps"_a, "lr"_a,
         "beta1"_a, "beta2"_a, "epsilon"_a, "keep"_a = Numbers(), "scale"_a = Numbers());
  def_op(m, "adafactor_step", &adafactor_step, "params"_a, "grads"_a, "rows"_a, "columns"_a, "variances"_a,
         "fresh"_a, "rates"_a, "keep"_a, "epsilon"_a, "least_mean"_a, "least_variance"_a, "least_rms"_a,
         "threshold"_a, "maximize"_a = false, "full"_a = false);
  def_op(m, "asgd_step", &asgd_step, "params"_a, "grads"_a, "ax"_a, "etas"_a, "mus"_a, "lambd"_a,
         "weight_decay"_a = 0.0, "maximize"_a = false);
  def_op(m, "rprop_step", &rprop_step, "params"_a, "grads"_a, "prev"_a, "step_size"_a, "eta_minus"_a,
         "eta_plus"_a, "least"_a, "most"_a, "maximize"_a = false);
  def_op(m, "clip_grad_norm_", &clip_grad_norm, "arrays"_a, "max_norm"_a, "order"_a = 2.0,
         "strict"_a = false);
  def_op(m, "axpby_", &axpby, "out"_a, "a"_a, "x"_a, "b"_a, "y"_a);
  def_op(m, "grad_norm", &multi_norm, "arrays"_a, "order"_a = 2.0);
  def_op(
      m, "scale_", [](const Arrays& a, double f) { multi_scale("scale_", a, false, f, 0, 0); }, "arrays"_a,
      "factor"_a);
  def_op(
      m, "clamp_", [](const Arrays& a, double lo, double hi) { multi_scale("clamp_", a, true, 1, lo, hi); },
      "arrays"_a, "low"_a, "high"_a);
}

}  // namespace dlcore
