"""Twins of the CTC family: the recursions of Graves et al. (2006), a state at a time."""

import numpy as np


def _problem(log_probs, targets, input_lengths, target_lengths, i, blank):
    starts = np.cumsum([0, *target_lengths])
    y = targets[i, : target_lengths[i]] if targets.ndim == 2 else targets[starts[i] : starts[i + 1]]
    states = [blank]
    for label in y:
        states += [label, blank]
    skip = [s > 1 and states[s] != blank and states[s] != states[s - 2] for s in range(len(states))]
    return log_probs[: input_lengths[i], i], states, skip


def _alpha(lp, states, skip, order=1):
    """log p of the states so far; backwards in time and states with order -1."""
    inf = np.asarray(-np.inf, lp.dtype)
    if order == -1:
        # State s is reached from s + 2 where s + 2 may be reached from s.
        skip = ([*skip[2:], False, False])[::-1]
        states, lp = states[::-1], lp[::-1]
    a = np.full((len(lp), len(states)), inf)
    if len(lp):
        a[0, :2] = lp[0, states[:2]]
    for t in range(1, len(lp)):
        for s in range(len(states)):
            terms = a[t - 1, s]
            if s > 0:
                terms = np.logaddexp(terms, a[t - 1, s - 1])
            if skip[s]:
                terms = np.logaddexp(terms, a[t - 1, s - 2])
            a[t, s] = terms + lp[t, states[s]]
    return a[::-1, ::-1] if order == -1 else a


def ctc_loss(log_probs, targets, input_lengths, target_lengths, blank=0):
    targets = np.asarray(targets)
    loss = np.empty(log_probs.shape[1], log_probs.dtype)
    for i in range(len(loss)):
        lp, states, skip = _problem(log_probs, targets, input_lengths, target_lengths, i, blank)
        if len(lp) == 0:
            loss[i] = 0 if len(states) == 1 else np.inf
            continue
        a = _alpha(lp, states, skip)
        loss[i] = -np.logaddexp.reduce(a[-1, -2:])
    return loss


def ctc_loss_backward(dloss, log_probs, targets, input_lengths, target_lengths, blank=0, zero_infinity=False):
    targets = np.asarray(targets)
    loss = ctc_loss(log_probs, targets, input_lengths, target_lengths, blank)
    dx = np.zeros_like(log_probs)
    for i in range(len(loss)):
        lp, states, skip = _problem(log_probs, targets, input_lengths, target_lengths, i, blank)
        if np.isinf(loss[i]):
            dx[: len(lp), i] = 0 if zero_infinity else np.nan
            continue
        a, b = _alpha(lp, states, skip), _alpha(lp, states, skip, -1)
        for t in range(len(lp)):
            dx[t, i] = np.exp(lp[t])
            for s, label in enumerate(states):
                dx[t, i, label] -= np.exp(a[t, s] + b[t, s] - lp[t, label] + loss[i])
        dx[: len(lp), i] *= dloss[i]
    return dx


def ctc_of_logits(x, targets, input_lengths, target_lengths, blank=0):
    """The loss whose gradient ctc_loss_backward is."""
    lp = x - np.logaddexp.reduce(x, -1, keepdims=True)
    return ctc_loss(lp, targets, input_lengths, target_lengths, blank)
