"""Twins of the losses: one example at a time, as the papers have them."""

import itertools
import math

import numpy as np


def softmax(x):
    e = np.exp(np.asarray(x, np.float64) - np.max(x))
    return e / e.sum()


def log_softmax(x):
    below = np.asarray(x, np.float64) - np.max(x)
    return below - np.log(np.sum(np.exp(below)))


def sigmoid(x):
    return np.exp(-np.logaddexp(0.0, -np.asarray(x, np.float64)))


def log_sum(x):
    """The logarithm of a sum, from the logarithms of its terms"""
    return np.logaddexp.reduce(np.asarray(x, np.float64))


def rows(function, *arrays):
    """``function`` on the last dimension, for all others."""
    shape = arrays[0].shape[:-1]
    return np.array([function(*(a[i] for a in arrays)) for i in np.ndindex(*shape)]).reshape(
        shape
    )


def each(function, *arrays):
    return np.vectorize(function, otypes=[np.float64])(*arrays)


def cross_entropy(x, y):
    return rows(lambda x, y: -np.sum(y * log_softmax(x)), x, y)


def integer_cross_entropy(x, label):
    return rows(lambda x, y: -log_softmax(x)[int(y[0])], x, label[..., None])


def poly(x, y, epsilon):
    return rows(
        lambda x, y: -np.sum(y * log_softmax(x)) + epsilon * np.sum(y * (1 - softmax(x))), x, y
    )


def binary(x, y):
    return each(lambda x, y: y * np.logaddexp(0, -x) + (1 - y) * np.logaddexp(0, x), x, y)


def focal(x, y, alpha, gamma):
    """Lin et al., with labels that may be probabilities: p_t = y p + (1 - y)(1 - p)"""

    def one(x, y):
        missed = y * sigmoid(-x) + (1 - y) * sigmoid(x)  # 1 - p_t
        alpha_t = y * alpha + (1 - y) * (1 - alpha)
        return alpha_t * missed**gamma * float(binary(x, y))

    return each(one, x, y)


def ranking(x, y, w):
    return np.mean(rows(lambda x, y, w: -np.sum(w * y * log_softmax(x)), x, y, w))


def squared(x, y):
    return (x - y) ** 2


def half_squared(x, y):
    return (x - y) ** 2 / 2


def huber(x, y, delta):
    return each(lambda e: e**2 / 2 if abs(e) <= delta else delta * (abs(e) - delta / 2), x - y)


def log_cosh(x, y):
    return each(lambda e: np.logaddexp(e, -e) - math.log(2), x - y)


def cosine(x, y):
    def one(a, b):
        lengths = np.linalg.norm(a) * np.linalg.norm(b)
        return a @ b / lengths if lengths else 0.0

    return rows(one, x, y)


def smooth(y, alpha):
    return (1 - alpha) * y + alpha * np.ones(y.shape[-1]) / y.shape[-1]


def divergence(log_p, y):
    return rows(
        lambda lp, y: sum(b * (math.log(b) - a) for a, b in zip(lp, y, strict=True) if b > 0),
        log_p,
        y,
    )


def generalized_divergence(log_p, y):
    return divergence(log_p, y) + np.sum(np.exp(log_p), -1) - np.sum(y, -1)


def hinge(s, y):
    return each(lambda s, y: max(0.0, 1 - y * s), s, y)


def perceptron(s, y):
    return each(lambda s, y: max(0.0, -y * s), s, y)


def binary_sparsemax(x, y):
    """The Fenchel-Young loss of two classes, of which sparsemax has the scores (x, 0)"""
    return each(lambda x, y: sparsemax_row(np.array([x, 0.0]), 0 if y else 1), x, y)


def multiclass_hinge(s, label):
    def one(s, label):
        y = int(label[0])
        return max(s[j] + (j != y) for j in range(len(s))) - s[y]

    return rows(one, s, label[..., None])


def multiclass_perceptron(s, label):
    return rows(lambda s, y: max(s) - s[int(y[0])], s, label[..., None])


def simplex(s):
    """The nearest point of the simplex: the threshold is found by halving"""
    low, high = np.min(s) - 1.0, np.max(s)
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if np.sum(np.maximum(s - middle, 0)) > 1 else (low, middle)
    return np.maximum(s - low, 0)


def sparsemax_row(s, y):
    """Blondel et al.: max over the simplex of <p, s> - |p|^2 / 2, plus |e_y|^2 / 2, minus s_y"""
    s = s - np.max(s)  # which changes nothing but that no large numbers cancel
    p = simplex(s)
    return p @ s - p @ p / 2 + 0.5 - s[y]


def multiclass_sparsemax(s, label):
    return rows(lambda s, y: sparsemax_row(s, int(y[0])), s, label[..., None])


def ctc(logits, logit_paddings, labels, label_paddings):
    """Minus the log of the summed probability of all alignments, one by one"""
    losses = []
    for x, padded, word, missing in zip(
        logits, logit_paddings, labels, label_paddings, strict=True
    ):
        log_p = np.array([log_softmax(frame) for frame in x[padded == 0]])
        target = [int(c) for c in word[missing == 0]]
        likely = []
        for path in itertools.product(range(log_p.shape[1]), repeat=len(log_p)):
            read = [c for c, _ in itertools.groupby(path) if c != 0]
            if read == target:
                likely.append(sum(log_p[t, c] for t, c in enumerate(path)))
        losses.append(-log_sum(likely))
    return np.array(losses)


def dice(x, y, smooth, alpha, beta):
    """1 - (TP + s) / (TP + alpha FP + beta FN + s) of one image and class after the other"""
    p = np.array([softmax(x[i]) for i in np.ndindex(*x.shape[:-1])]).reshape(x.shape)
    losses = []
    for image in range(len(x)):
        for c in range(x.shape[-1]):
            a, b = p[image, ..., c], y[image, ..., c]
            tp, fp, fn = np.sum(a * b), np.sum(a * (1 - b)), np.sum((1 - a) * b)
            losses.append(1 - (tp + smooth) / (tp + alpha * fp + beta * fn + smooth))
    return np.array(losses).reshape(len(x), -1)


def generalized_dice(x, y):
    frequency = y.reshape(-1, y.shape[-1]).sum(0)
    weight = 1 / (frequency**2 + 1e-7)
    return np.mean(dice(x, y, 1.0, 0.5, 0.5) * weight / weight.sum() * len(weight))


def binary_dice(x, y):
    """Milletari et al., smoothed: 1 - (2 <p, y> + 2) / (|p|_1 + |y|_1 + 2)"""
    return 1 - rows(lambda p, y: (2 * p @ y + 2) / (p.sum() + y.sum() + 2), sigmoid(x), y)


def ntxent(z, label, temperature):
    z = z / np.linalg.norm(z, axis=1, keepdims=True)
    s = z @ z.T / temperature
    n, losses = len(z), []
    for i, j in itertools.permutations(range(n), 2):
        if label[i] == label[j]:
            others = [s[i, k] for k in range(n) if label[k] != label[i]]
            losses.append(log_sum([s[i, j], *others]) - s[i, j])
    return np.mean(losses)


def triplet(a, p, n, degree, margin):
    distance = lambda x, y: np.sum(np.abs(x - y) ** degree) ** (1 / degree)
    return rows(lambda a, p, n: max(0.0, distance(a, p) - distance(a, n) + margin), a, p, n)
