"""Twins of the optimizer steps on one parameter."""

import numpy as np


def sgd_step(
    p, g, v, step=1, lr=1e-3, momentum=0.0, dampening=0.0, weight_decay=0.0, nesterov=False, maximize=False,
    rated=False,
):  # fmt: skip
    t = p.dtype.type
    g = (-g if maximize else g) + t(weight_decay) * p
    if momentum == 0:
        return p - t(lr) * g, v
    if rated:
        v = t(momentum) * v - t(lr) * g
        return p + (t(momentum) * v - t(lr) * g if nesterov else v), v
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
                 centered=False, maximize=False, epsilon_inside=False, rated=False):  # fmt: skip
    t = p.dtype.type
    g = (-g if maximize else g) + t(weight_decay) * p
    v = t(alpha) * v + t(1 - alpha) * g * g
    variance = v
    if centered:
        mean = mean + t(1 - alpha) * (g - mean)
        variance = v - mean * mean
    d = g / (np.sqrt(variance + t(epsilon)) if epsilon_inside else np.sqrt(variance) + t(epsilon))
    if momentum != 0 and rated:
        buffer = t(momentum) * buffer + t(lr) * d
        return p - buffer, v, mean, buffer
    if momentum != 0:
        buffer = d = t(momentum) * buffer + d
    return p - t(lr) * d, v, mean, buffer


def lion_step(p, g, m, lr=1e-4, beta1=0.9, beta2=0.99, weight_decay=0.0, maximize=False):
    t = p.dtype.type
    g = -g if maximize else g
    u = np.sign(m + t(1 - beta1) * (g - m))
    return p * t(1 - lr * weight_decay) - t(lr) * u, m + t(1 - beta2) * (g - m)


def adamax_step(p, g, m, u, step=1, lr=2e-3, beta1=0.9, beta2=0.999, epsilon=1e-8, weight_decay=0.0,
                maximize=False, epsilon_below=False):  # fmt: skip
    t = p.dtype.type
    g = (-g if maximize else g) + t(weight_decay) * p
    m = m + t(1 - beta1) * (g - m)
    u = np.maximum(t(beta2) * u, np.abs(g) + t(0 if epsilon_below else epsilon))
    return p - t(lr / (1 - beta1**step)) * m / (u + t(epsilon if epsilon_below else 0)), m, u


def ftrl_step(p, g, n, z, lr=1e-3, power=-0.5, l1=0.0, l2=0.0, shrinkage=0.0, beta=0.0):
    t = p.dtype.type
    new = n + g * g
    z = z + g + t(2 * shrinkage) * p - (new ** t(-power) - n ** t(-power)) / t(lr) * p
    below = new ** t(-power) / t(lr) + t(2 * (l2 + beta / (2 * lr)))
    return (np.clip(z, -t(l1), t(l1)) - z) / below, new, z


def schedule_free_step(p, g, z, v, step=1, lr=2.5e-3, beta1=0.9, beta2=0.999, epsilon=1e-8):
    t = p.dtype.type
    b, part = t(beta1), t(1 / step)
    x = (p - (1 - b) * z) / b
    v = v + t(1 - beta2) * (g * g - v)
    z = z - t(lr) * g / (np.sqrt(v / t(1 - beta2**step)) + t(epsilon))
    return (1 - b) * z + b * ((1 - part) * x + part * z), z, v


def lamb_step(p, g, m, v, step=1, lr=1e-3, beta1=0.9, beta2=0.999, epsilon=1e-7, keep=1.0):
    t = p.dtype.type
    p = p * t(keep)
    m = m + t(1 - beta1) * (g - m)
    v = v + t(1 - beta2) * (g * g - v)
    d = m / t(1 - beta1**step) / (np.sqrt(v / t(1 - beta2**step)) + t(epsilon))
    size, far = np.sqrt(np.sum(p * p)), np.sqrt(np.sum(d * d))
    return p - t(lr) * (size / far if size > 0 and far > 0 else t(1)) * d, m, v


def adafactor_step(p, g, v, r=None, c=None, fresh=1.0, rate=1e-2, keep=1.0, epsilon=0.0, least_mean=1e-7,
                   least_variance=1e-14, least_rms=1e-3, threshold=1.0, maximize=False):  # fmt: skip
    t = p.dtype.type
    if p.size == 0:
        return (p, v) + (() if r is None else (r, c))
    square = g * g + t(epsilon)
    if r is None:
        v = v + t(fresh) * (square - v)
    else:
        r = r + t(fresh) * (square.mean(-1) - r)
        c = c + t(fresh) * (square.mean(-2) - c)
        mean = np.maximum(r.mean(-1, keepdims=True), t(least_mean))
        v = (r / mean)[..., None] * c[..., None, :]
    u = (-g if maximize else g) / np.sqrt(np.maximum(v, t(least_variance)))
    rms_p, rms_u = (np.sqrt(np.mean(x * x)) for x in (p, u))
    step = t(rate) * max(t(least_rms), rms_p) / max(t(1), rms_u / t(threshold))
    return (p * t(keep) - step * u, v) + (() if r is None else (r, c))


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


def grad_clip_norm(x, max_norm, order=2.0):
    norm = grad_norm([x], order).astype(x.dtype)
    t = x.dtype.type
    with np.errstate(invalid="ignore"):  # an infinite norm makes 0 infinity
        return norm, x * np.minimum(t(max_norm) / (norm + t(1e-6)), t(1))


def axpby(a, x, b, y):
    t = x.dtype.type
    return t(a) * x + t(b) * y if b != 0 else t(a) * x
