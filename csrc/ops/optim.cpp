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

// `states` may hold empty lists (a state that the options do not need).
void run(const char* op, OptimArgs args, const Arrays& params, const Arrays& grads,
         const std::vector<const Arrays*>& states, const Numbers& coef) {
  check_list(op, "grads", grads, params.size());
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
    Numbers c;
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
    }
    if (w.first.back() == 0) continue;
    args.count = static_cast<int>(w.data.size());
    args.param = w.data.data(), args.grad = g.data(), args.size = w.size.data(), args.first = w.first.data();
    for (int k = 0; k < 3; ++k) args.state[k] = state[k].empty() ? nullptr : state[k].data();
    args.coef = c.data();
    DLCORE_LAUNCH(optim_step, dtype, params[0].device(), args);
    for (size_t i = 0; i < copies.size(); ++i) copy_into(targets[i], copies[i]);
  }
}

OptimArgs make(Optim kind, double lr, double weight_decay, bool maximize, bool decoupled = false,
               bool flag = false) {
  OptimArgs a{};
  a.kind = kind, a.lr = lr, a.weight_decay = weight_decay, a.maximize = maximize, a.decoupled = decoupled,
  a.flag = flag;
  return a;
}

template <size_t N>
void set_h(OptimArgs& a, const double (&h)[N]) {
  for (size_t i = 0; i < N; ++i) a.h[i] = h[i];
}

}  // namespace

static void sgd_step(const Arrays& params, const Arrays& grads, const Arrays& buffers, const Numbers& steps,
                     double lr, double momentum, double dampening, double weight_decay, bool nesterov,
                     bool maximize) {
  OptimArgs a = make(Optim::sgd, lr, weight_decay, maximize, false, nesterov);
  set_h(a, {momentum, 1 - dampening});
  check_list("sgd_step", "steps", steps, params.size());
  if (momentum != 0) check_list("sgd_step", "buffers", buffers, params.size());
  Numbers coef;
  for (double step : steps) coef.insert(coef.end(), {step <= 1 ? 1.0 : 0.0, 0, 0, 0});
  run("sgd_step", a, params, grads, {&buffers}, coef);
}

static void adam_step(const Arrays& params, const Arrays& grads, const Arrays& m, const Arrays& v,
                      const Arrays& max_v, const Numbers& steps, double lr, double beta1, double beta2,
                      double epsilon, double weight_decay, bool amsgrad, bool maximize, bool decoupled,
                      bool epsilon_hat) {
  OptimArgs a = make(Optim::adam, lr, weight_decay, maximize, decoupled, amsgrad);
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
  run("adam_step", a, params, grads, {&m, &v, &max_v}, coef);
}

// mu_products: of the steps so far, this one included.
static void nadam_step(const Arrays& params, const Arrays& grads, const Arrays& m, const Arrays& v,
                       const Numbers& mu_products, const Numbers& steps, double lr, double beta1,
                       double beta2, double epsilon, double weight_decay, double momentum_decay,
                       bool decoupled, bool maximize) {
  OptimArgs a = make(Optim::nadam, lr, weight_decay, maximize, decoupled);
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
  run("nadam_step", a, params, grads, {&m, &v}, coef);
}

static void radam_step(const Arrays& params, const Arrays& grads, const Arrays& m, const Arrays& v,
                       const Numbers& steps, double lr, double beta1, double beta2, double epsilon,
                       double weight_decay, bool decoupled, bool maximize) {
  OptimArgs a = make(Optim::radam, lr, weight_decay, maximize, decoupled);
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
  run("radam_step", a, params, grads, {&m, &v}, coef);
}

static void adamax_step(const Arrays& params, const Arrays& grads, const Arrays& m, const Arrays& u,
                        const Numbers& steps, double lr, double beta1, double beta2, double epsilon,
                        double weight_decay, bool maximize) {
  OptimArgs a = make(Optim::adamax, lr, weight_decay, maximize);
  set_h(a, {1 - beta1, beta2, 0, epsilon});
  check_list("adamax_step", "steps", steps, params.size());
  check_list("adamax_step", "exp_avg", m, params.size());
  check_list("adamax_step", "exp_inf", u, params.size());
  Numbers coef;
  for (double t : steps) coef.insert(coef.end(), {lr / (1 - std::pow(beta1, t)), 0, 0, 0});
  run("adamax_step", a, params, grads, {&m, &u}, coef);
}

static void rmsprop_step(const Arrays& params, const Arrays& grads, const Arrays& square, const Arrays& mean,
                         const Arrays& velocity, double lr, double alpha, double epsilon, double weight_decay,
                         double momentum, bool centered, bool maximize, bool epsilon_inside) {
  OptimArgs a = make(Optim::rmsprop, lr, weight_decay, maximize, false, centered);
  set_h(a, {alpha, 1 - alpha, momentum, epsilon_inside ? 0 : epsilon});
  a.inside = epsilon_inside ? epsilon : 0;
  check_list("rmsprop_step", "square_avg", square, params.size());
  if (centered) check_list("rmsprop_step", "grad_avg", mean, params.size());
  if (momentum != 0) check_list("rmsprop_step", "momentum_buffer", velocity, params.size());
  run("rmsprop_step", a, params, grads, {&square, &mean, &velocity}, {});
}

static void adagrad_step(const Arrays& params, const Arrays& grads, const Arrays& sum, const Numbers& steps,
                         double lr, double lr_decay, double epsilon, double weight_decay, bool maximize,
                         bool epsilon_inside) {
  OptimArgs a = make(Optim::adagrad, lr, weight_decay, maximize);
  set_h(a, {0, 0, 0, epsilon_inside ? 0 : epsilon});
  a.inside = epsilon_inside ? epsilon : 0;
  check_list("adagrad_step", "steps", steps, params.size());
  check_list("adagrad_step", "sum", sum, params.size());
  Numbers coef;
  for (double t : steps) coef.insert(coef.end(), {lr / (1 + (t - 1) * lr_decay), 0, 0, 0});
  run("adagrad_step", a, params, grads, {&sum}, coef);
}

static void adadelta_step(const Arrays& params, const Arrays& grads, const Arrays& square,
                          const Arrays& delta, double lr, double rho, double epsilon, double weight_decay,
                          bool maximize) {
  OptimArgs a = make(Optim::adadelta, lr, weight_decay, maximize);
  set_h(a, {rho, 1 - rho, 0, epsilon});
  check_list("adadelta_step", "square_avg", square, params.size());
  check_list("adadelta_step", "acc_delta", delta, params.size());
  run("adadelta_step", a, params, grads, {&square, &delta}, {});
}

static void lion_step(const Arrays& params, const Arrays& grads, const Arrays& m, double lr, double beta1,
                      double beta2, double weight_decay, bool maximize) {
  OptimArgs a = make(Optim::lion, lr, weight_decay, maximize, true);
  set_h(a, {1 - beta1, 1 - beta2});
  check_list("lion_step", "exp_avg", m, params.size());
  run("lion_step", a, params, grads, {&m}, {});
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
  run("asgd_step", a, params, grads, {&average}, coef);
}

static void rprop_step(const Arrays& params, const Arrays& grads, const Arrays& before, const Arrays& steps,
                       double eta_minus, double eta_plus, double least, double most, bool maximize) {
  OptimArgs a = make(Optim::rprop, 0, 0, maximize);
  set_h(a, {eta_minus, eta_plus, least, most});
  check_list("rprop_step", "prev", before, params.size());
  check_list("rprop_step", "step_size", steps, params.size());
  run("rprop_step", a, params, grads, {&before, &steps}, {});
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

void bind_optim(py::module_& m) {
  using namespace py::literals;
  def_op(m, "sgd_step", &sgd_step, "params"_a, "grads"_a, "buffers"_a, "steps"_a, "lr"_a, "momentum"_a = 0.0,
         "dampening"_a = 0.0, "weight_decay"_a = 0.0, "nesterov"_a = false, "maximize"_a = false);
  def_op(m, "adam_step", &adam_step, "params"_a, "grads"_a, "exp_avg"_a, "exp_avg_sq"_a, "max_exp_avg_sq"_a,
         "steps"_a, "lr"_a, "beta1"_a, "beta2"_a, "epsilon"_a, "weight_decay"_a = 0.0, "amsgrad"_a = false,
         "maximize"_a = false, "decoupled"_a = false, "epsilon_hat"_a = false);
  def_op(m, "nadam_step", &nadam_step, "params"_a, "grads"_a, "exp_avg"_a, "exp_avg_sq"_a, "mu_products"_a,
         "steps"_a, "lr"_a, "beta1"_a, "beta2"_a, "epsilon"_a, "weight_decay"_a, "momentum_decay"_a,
         "decoupled"_a, "maximize"_a);
  def_op(m, "radam_step", &radam_step, "params"_a, "grads"_a, "exp_avg"_a, "exp_avg_sq"_a, "steps"_a, "lr"_a,
         "beta1"_a, "beta2"_a, "epsilon"_a, "weight_decay"_a, "decoupled"_a, "maximize"_a);
  def_op(m, "adamax_step", &adamax_step, "params"_a, "grads"_a, "exp_avg"_a, "exp_inf"_a, "steps"_a, "lr"_a,
         "beta1"_a, "beta2"_a, "epsilon"_a, "weight_decay"_a, "maximize"_a);
  def_op(m, "rmsprop_step", &rmsprop_step, "params"_a, "grads"_a, "square_avg"_a, "grad_avg"_a,
         "momentum_buffer"_a, "lr"_a, "alpha"_a, "epsilon"_a, "weight_decay"_a, "momentum"_a, "centered"_a,
         "maximize"_a, "epsilon_inside"_a = false);
  def_op(m, "adagrad_step", &adagrad_step, "params"_a, "grads"_a, "sum"_a, "steps"_a, "lr"_a, "lr_decay"_a,
         "epsilon"_a, "weight_decay"_a, "maximize"_a, "epsilon_inside"_a = false);
  def_op(m, "adadelta_step", &adadelta_step, "params"_a, "grads"_a, "square_avg"_a, "acc_delta"_a, "lr"_a,
         "rho"_a, "epsilon"_a, "weight_decay"_a, "maximize"_a);
  def_op(m, "lion_step", &lion_step, "params"_a, "grads"_a, "exp_avg"_a, "lr"_a, "beta1"_a, "beta2"_a,
         "weight_decay"_a = 0.0, "maximize"_a = false);
  def_op(m, "asgd_step", &asgd_step, "params"_a, "grads"_a, "ax"_a, "etas"_a, "mus"_a, "lambd"_a,
         "weight_decay"_a = 0.0, "maximize"_a = false);
  def_op(m, "rprop_step", &rprop_step, "params"_a, "grads"_a, "prev"_a, "step_size"_a, "eta_minus"_a,
         "eta_plus"_a, "least"_a, "most"_a, "maximize"_a = false);
  def_op(m, "grad_norm", &multi_norm, "arrays"_a, "order"_a = 2.0);
  def_op(
      m, "scale_", [](const Arrays& a, double f) { multi_scale("scale_", a, false, f, 0, 0); }, "arrays"_a,
      "factor"_a);
  def_op(
      m, "clamp_", [](const Arrays& a, double lo, double hi) { multi_scale("clamp_", a, true, 1, lo, hi); },
      "arrays"_a, "low"_a, "high"_a);
}

}  // namespace dlcore
