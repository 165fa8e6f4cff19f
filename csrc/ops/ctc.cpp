// ctc_loss: lengths and labels are checked here, all of them, before a kernel sees one.
#include "ops/ops.h"

namespace dlcore {
namespace {

Array checked_lengths(const char* name, const Array& lengths, int64_t batch, int64_t longest) {
  const char* op = "ctc_loss";
  if (lengths.dtype() != DType::i64 && lengths.dtype() != DType::i32)
    type_error(op, std::string(name) + " must be integers", {{name, lengths}});
  check_shape(op, name, lengths, {batch});
  const Array flat = contiguous(cast(lengths, DType::i64));
  for (int64_t i = 0; i < batch; ++i)
    if (flat.ptr<int64_t>()[i] < 0 || flat.ptr<int64_t>()[i] > longest)
      value_error(op, std::string(name) + " must lie in [0, " + std::to_string(longest) + "]",
                  {{"length", flat.ptr<int64_t>()[i]}, {"of sample", i}});
  return flat;
}

// What both directions need, checked: labels and lengths as int64, where each sample's labels begin.
struct Problem {
  Array x, targets, starts, input_lengths, target_lengths;
  CtcArgs args{};
};

Problem problem(const Array& log_probs, const Array& targets, const Array& input_lengths,
                const Array& target_lengths, int64_t blank) {
  const char* op = "ctc_loss";
  check_floating(op, "log_probs", log_probs);
  check_ndim(op, "log_probs", log_probs, 3);
  check_same_device(op, "log_probs", log_probs, "targets", targets);
  if (targets.dtype() != DType::i64 && targets.dtype() != DType::i32)
    type_error(op, "targets must be int64 or int32", {{"targets", targets}});
  Problem q;
  CtcArgs& a = q.args;
  a.steps = log_probs.dim(0), a.batch = log_probs.dim(1), a.classes = log_probs.dim(2), a.blank = blank;
  if (blank < 0 || blank >= a.classes)
    value_error(op, "blank must lie in [0, " + std::to_string(a.classes) + "), the number of classes",
                {{"log_probs", log_probs}, {"blank", blank}});
  const bool padded = targets.ndim() == 2;
  if (!padded && targets.ndim() != 1)
    value_error(op, "targets must be (batch, longest), or all labels in one row", {{"targets", targets}});
  if (padded && targets.dim(0) != a.batch)
    value_error(op, "targets must have a row for each sample",
                {{"log_probs", log_probs}, {"targets", targets}});
  q.input_lengths = checked_lengths("input_lengths", input_lengths, a.batch, a.steps);
  q.target_lengths = checked_lengths("target_lengths", target_lengths, a.batch, targets.dim(-1));
  q.x = contiguous(log_probs), q.targets = contiguous(cast(targets, DType::i64));
  q.starts = Array::empty({a.batch}, DType::i64);
  int64_t at = 0, longest = 0;
  for (int64_t i = 0; i < a.batch; ++i) {
    const int64_t n = q.target_lengths.ptr<int64_t>()[i], start = padded ? i * targets.dim(1) : at;
    q.starts.ptr<int64_t>()[i] = start;
    at += n, longest = n > longest ? n : longest;
    if (start + n > targets.numel())
      value_error(op, "targets must hold as many labels as target_lengths say",
                  {{"targets", targets}, {"labels", at}});
    for (int64_t k = 0; k < n; ++k) {
      const int64_t label = q.targets.ptr<int64_t>()[start + k];
      if (label < 0 || label >= a.classes)
        index_error(op, "labels must lie in [0, " + std::to_string(a.classes) + ")",
                    {{"label", label}, {"of sample", i}, {"at", k}});
    }
  }
  if (!padded && at != targets.numel())
    value_error(op, "targets must hold as many labels as target_lengths say",
                {{"targets", targets}, {"labels", at}});
  a.width = ctc_width(longest);
  a.log_probs = q.x.data(), a.targets = q.targets.ptr<int64_t>(), a.starts = q.starts.ptr<int64_t>();
  a.input_lengths = q.input_lengths.ptr<int64_t>(), a.target_lengths = q.target_lengths.ptr<int64_t>();
  return q;
}

// (loss of each sample, alpha for the backward)
std::pair<Array, Array> ctc_forward(const Array& log_probs, const Array& targets, const Array& input_lengths,
                                    const Array& target_lengths, int64_t blank) {
  Problem q = problem(log_probs, targets, input_lengths, target_lengths, blank);
  Array loss = Array::empty({q.args.batch}, log_probs.dtype(), log_probs.device());
  Array alpha =
      Array::empty({q.args.batch, q.args.steps, q.args.width}, log_probs.dtype(), log_probs.device());
  q.args.loss = loss.data(), q.args.alpha = alpha.data();
  if (q.args.batch > 0) DLCORE_LAUNCH(ctc_forward, log_probs.dtype(), log_probs.device(), q.args);
  return {loss, alpha};
}

Array ctc_backward(const Array& dloss, const Array& log_probs, const Array& targets,
                   const Array& input_lengths, const Array& target_lengths, const Array& loss,
                   const Array& alpha, int64_t blank, bool zero_infinity) {
  const char* op = "ctc_loss_backward";
  Problem q = problem(log_probs, targets, input_lengths, target_lengths, blank);
  for (const Array* a : {&dloss, &loss, &alpha})
    check_same(op, "log_probs", log_probs, "dloss, loss, alpha", *a);
  check_shape(op, "dloss", dloss, {q.args.batch});
  check_shape(op, "loss", loss, {q.args.batch});
  check_shape(op, "alpha", alpha, {q.args.batch, q.args.steps, q.args.width});
  const Array g = contiguous(dloss), l = contiguous(loss), a = contiguous(alpha);
  Array dx = Array::empty(log_probs.shape(), log_probs.dtype(), log_probs.device());
  if (dx.numel() == 0) return dx;
  q.args.loss = l.data(), q.args.alpha = a.data();
  CtcBackwardArgs args{q.args, g.data(), dx.data(), zero_infinity};
  DLCORE_LAUNCH(ctc_backward, log_probs.dtype(), log_probs.device(), args);
  return dx;
}

}  // namespace

void bind_ctc(py::module_& m) {
  using namespace py::literals;
  def_op(m, "ctc_forward", &ctc_forward, "log_probs"_a, "targets"_a, "input_lengths"_a, "target_lengths"_a,
         "blank"_a = 0);
  def_op(m, "ctc_backward", &ctc_backward, "dloss"_a, "log_probs"_a, "targets"_a, "input_lengths"_a,
         "target_lengths"_a, "loss"_a, "alpha"_a, "blank"_a = 0, "zero_infinity"_a = false);
}

}  // namespace dlcore
