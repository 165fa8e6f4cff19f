"""Twins of the optimizer steps on one parameter."""

import numpy as np


def sgd_step(
    p, g, v, step=1, lr=1e-3, momentum=0.0, dampening=0.0, weight_decay=0.0, nesterov=False, maximize=False
):
    t = p.dtype.type
    g = (-g if maximize else g) + t(weight_decay) * p
    if momentum == 0:
        return p - t(lr) * g, v
    v = g if step <= 1 else t(momentum) * v + t(1 - dampening) * g
    return p - t(lr) * (g + t(momentum) * v if nesterov else v), v


def adam_step(p, g, m, v, u, step=1, lr=1e-3, beta1=0.9, beta2=0.999, epsilon=1e-8, weight_decay=0.0,
              amsgrad=False, maximize=False, decoupled=False, epsilon_hat=False):  # fmt: skip
    t = p.dtype.type
    g = -g if maximize else g
    if decoupled:
        p = p * t(1 - lr * weight_decay)
    else:
        g = g + t(weight_decay) * p
    m = m + t(1 - beta1) * (g - m)
    v = t(beta2) * v + t(1 - beta2) * g * g
    if amsgrad:
        u = np.maximum(u, v)
    root = (1 - beta2**step) ** 0.5
    denominator = np.sqrt(u if amsgrad else v) / t(root) + t(epsilon / root if epsilon_hat else epsilon)
    return p - t(lr / (1 - beta1**step)) * m / denominator, m, v, u


def rmsprop_step(p, g, v, mean, buffer, lr=1e-2, alpha=0.99, epsilon=1e-8, weight_decay=0.0, momentum=0.0,
                 centered=False, maximize=False):  # fmt: skip
    t = p.dtype.type
    g = (-g if maximize else g) + t(weight_decay) * p
    v = t(alpha) * v + t(1 - alpha) * g * g
    variance = v
    if centered:
        mean = mean + t(1 - alpha) * (g - mean)
        variance = v - mean * mean
    d = g / (np.sqrt(variance) + t(epsilon))
    if momentum != 0:
        buffer = d = t(momentum) * buffer + d
    return p - t(lr) * d, v, mean, buffer


def lion_step(p, g, m, lr=1e-4, beta1=0.9, beta2=0.99, weight_decay=0.0, maximize=False):
    t = p.dtype.type
    g = -g if maximize else g
    u = np.sign(m + t(1 - beta1) * (g - m))
    return p * t(1 - lr * weight_decay) - t(lr) * u, m + t(1 - beta2) * (g - m)


def asgd_step(p, g, a, eta=1e-2, mu=1.0, lambd=1e-4, weight_decay=0.0, maximize=False):
    t = p.dtype.type
    g = (-g if maximize else g) + t(weight_decay) * p
    p = p - (t(lambd * eta) * p + t(eta) * g)
    return p, p if mu == 1 else a + t(mu) * (p - a)


def rprop_step(p, g, before, steps, etas=(0.5, 1.2), step_sizes=(1e-6, 50.0), maximize=False):
    t = p.dtype.type
    g = -g if maximize else g
    turn = np.sign(g * before)
    factor = np.where(turn > 0, t(etas[1]), np.where(turn < 0, t(etas[0]), t(1)))
    steps = np.clip(steps * factor, t(step_sizes[0]), t(step_sizes[1]))
    g = np.where(turn < 0, t(0), g)
    return p - np.sign(g) * steps, g, steps


def grad_norm(arrays, order=2.0):
    flat = np.concatenate([np.ravel(a) for a in arrays]).astype(np.float64) if arrays else np.zeros(0)
    return np.asarray(np.linalg.norm(flat, order) if flat.size else 0.0)


def grad_scale(x, factor):
    return x * x.dtype.type(factor)


def grad_clip(x, low, high):
    return np.clip(x, low, high)
