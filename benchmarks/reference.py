"""Reference methods in plain NumPy and SciPy, each with the data in the form that suits it.

Methods that are told the rank start at the spectral estimate of that rank. All of them minimise
the mean squared residual over factors, stop at a relative residual of 1e-13 or where they make
no more progress, and give up when their clock runs out. A pass is one forward or one adjoint
sweep over the measurements, whatever the number of columns that go with it.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import linalg, optimize, sparse
from scipy.sparse.linalg import LinearOperator, lsqr, svds
from sklearn.utils.extmath import randomized_svd

import leanrank as lr

EXACT = 1e-13
"""Relative residual at which there is nothing left to do in double precision."""


@dataclass(frozen=True)
class Answer:
    """Factors that a method ended with, its passes, and a remark on how it ended."""

    factors: lr.Factors
    passes: float
    note: str = ""


class Clock:
    """CPU seconds that a method may take."""

    def __init__(self, cap: float) -> None:
        self._end = time.process_time() + cap

    @property
    def expired(self) -> bool:
        """Whether the time is up."""
        return time.process_time() >= self._end

    def note(self) -> str:
        """Say that the time is up, if it is."""
        return "time cap" if self.expired else ""


class LeastSquares(ABC):
    """Mean squared residual over stacked factors W, and what first-order methods ask of it."""

    y: np.ndarray
    passes: float = 0.0

    @abstractmethod
    def factors(self, W: np.ndarray) -> lr.Factors:
        """Factors whose stacked array is W."""

    @abstractmethod
    def residual(self, W: np.ndarray) -> np.ndarray:
        """Measurements at W minus y."""

    @abstractmethod
    def gradient(self, W: np.ndarray, residual: np.ndarray) -> np.ndarray:
        """Gradient of the mean squared residual."""

    @abstractmethod
    def along(self, W: np.ndarray, D: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Coefficients of t and t^2 of the measurements at W + t D."""

    @abstractmethod
    def precondition(self, W: np.ndarray, G: np.ndarray) -> np.ndarray:
        """Gradient in the metric in which all singular directions count alike."""

    @abstractmethod
    def start(self, rank: int) -> np.ndarray:
        """Spectral estimate of the given rank."""


class _Symmetric(LeastSquares):
    def factors(self, W: np.ndarray) -> lr.Factors:
        return lr.Factors(W)

    def precondition(self, W: np.ndarray, G: np.ndarray) -> np.ndarray:
        return linalg.solve(W.T @ W, G.T, assume_a="pos").T

    @abstractmethod
    def jacobian(self, U: np.ndarray) -> np.ndarray:
        """Derivative of the measurements, shape (m, d r)."""


class PackedSensing(_Symmetric):
    """PSD sensing through packed upper triangles."""

    def __init__(self, packed: np.ndarray, y: np.ndarray, d: int) -> None:
        self.packed, self.y, self.d = packed, y, d
        self.upper = np.triu_indices(d)
        self.double = np.where(self.upper[0] == self.upper[1], 1.0, 2.0).astype(packed.dtype)

    def _pack(self, X: np.ndarray) -> np.ndarray:
        return X[self.upper] * self.double

    def _unpack(self, vector: np.ndarray) -> np.ndarray:
        X = np.empty((self.d, self.d), dtype=vector.dtype)
        X[self.upper] = vector
        X.T[self.upper] = vector
        return X

    def residual(self, W: np.ndarray) -> np.ndarray:
        self.passes += 1
        return self.packed @ self._pack(W @ W.T) - self.y

    def gradient(self, W: np.ndarray, residual: np.ndarray) -> np.ndarray:
        self.passes += 1
        return (4.0 / self.y.size) * (self._unpack(residual @ self.packed) @ W)

    def along(self, W: np.ndarray, D: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        self.passes += 1
        cross = W @ D.T
        pair = np.stack([self._pack(cross + cross.T), self._pack(D @ D.T)], axis=1)
        first, second = (self.packed @ pair).T
        return first, second

    def start(self, rank: int) -> np.ndarray:
        self.passes += 1
        S = self._unpack(self.y @ self.packed) / self.y.size
        return _top_eigenvectors(S, rank)

    def jacobian(self, U: np.ndarray) -> np.ndarray:
        m, d = self.y.size, self.d
        self.passes += 1
        J = np.empty((m, d, U.shape[1]), dtype=U.dtype)
        position = np.empty((d, d), dtype=np.intp)
        position[self.upper] = position.T[self.upper] = np.arange(self.upper[0].size)
        rows = max(1, (1 << 21) // (d * d * self.packed.itemsize))
        for i in range(0, m, rows):
            block = np.take(self.packed[i : i + rows], position.ravel(), axis=1)
            J[i : i + rows] = (2.0 * (block.reshape(-1, d) @ U)).reshape(-1, d, U.shape[1])
        return J.reshape(m, -1)


class UnpackedSensing(_Symmetric):
    """PSD sensing through full matrices, which need not be symmetric."""

    def __init__(self, A: np.ndarray, y: np.ndarray) -> None:
        self.A, self.y, self.d = A, y, A.shape[1]
        self.flat = A.reshape(y.size, -1)

    def residual(self, W: np.ndarray) -> np.ndarray:
        self.passes += 1
        return self.flat @ (W @ W.T).ravel() - self.y

    def gradient(self, W: np.ndarray, residual: np.ndarray) -> np.ndarray:
        self.passes += 1
        S = (residual @ self.flat).reshape(self.d, self.d)
        return (2.0 / self.y.size) * ((S + S.T) @ W)

    def along(self, W: np.ndarray, D: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        self.passes += 1
        cross = W @ D.T
        first, second = (self.flat @ np.stack([(cross + cross.T).ravel(), (D @ D.T).ravel()], 1)).T
        return first, second

    def start(self, rank: int) -> np.ndarray:
        self.passes += 1
        S = (self.y @ self.flat).reshape(self.d, self.d) / self.y.size
        return _top_eigenvectors((S + S.T) / 2, rank)

    def jacobian(self, U: np.ndarray) -> np.ndarray:
        self.passes += 1
        m, d = self.y.size, self.d
        J = (self.flat.reshape(m * d, d) @ U).reshape(m, d, -1)
        J += np.matmul(self.A.transpose(0, 2, 1), U)
        return J.reshape(m, -1)


class QuadraticNetwork(_Symmetric):
    """Rank-one sensing y_i = |U^T x_i|^2."""

    def __init__(self, x: np.ndarray, y: np.ndarray) -> None:
        self.x, self.y = x, y

    def residual(self, W: np.ndarray) -> np.ndarray:
        self.passes += 1
        return np.sum((self.x @ W) ** 2, axis=1) - self.y

    def gradient(self, W: np.ndarray, residual: np.ndarray) -> np.ndarray:
        self.passes += 1
        return (4.0 / self.y.size) * (self.x.T @ ((self.x @ W) * residual[:, None]))

    def along(self, W: np.ndarray, D: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        self.passes += 1
        left, right = self.x @ W, self.x @ D
        return 2.0 * np.sum(left * right, axis=1), np.sum(right * right, axis=1)

    def start(self, rank: int) -> np.ndarray:
        self.passes += 1
        S = (self.x.T * (self.y - np.mean(self.y))) @ self.x / (2 * self.y.size)
        return _top_eigenvectors(S, rank)

    def jacobian(self, U: np.ndarray) -> np.ndarray:
        self.passes += 1
        return 2.0 * (self.x[:, :, None] * (self.x @ U)[:, None, :]).reshape(self.y.size, -1)


class Completion(LeastSquares):
    """Observed entries of a general matrix."""

    def __init__(
        self, rows: np.ndarray, cols: np.ndarray, y: np.ndarray, shape: tuple[int, int]
    ) -> None:
        order = np.lexsort((cols, rows))
        self.rows, self.cols, self.y, self.shape = rows[order], cols[order], y[order], shape
        self.indptr = np.searchsorted(self.rows, np.arange(shape[0] + 1))
        self.fraction = y.size / (shape[0] * shape[1])

    def split(self, W: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """U and V of a stacked array."""
        return W[: self.shape[0]], W[self.shape[0] :]

    def factors(self, W: np.ndarray) -> lr.Factors:
        return lr.Factors(*self.split(W))

    def entries(self, U: np.ndarray, V: np.ndarray) -> np.ndarray:
        """Observed entries of U V^T."""
        return np.einsum("ij,ij->i", np.take(U, self.rows, 0), np.take(V, self.cols, 0))

    def spread(self, values: np.ndarray) -> sparse.csr_array:
        """Sparse matrix of values at the observed positions."""
        return sparse.csr_array((values, self.cols, self.indptr), shape=self.shape)

    def residual(self, W: np.ndarray) -> np.ndarray:
        self.passes += 1
        return self.entries(*self.split(W)) - self.y

    def pull_back(self, W: np.ndarray, values: np.ndarray) -> np.ndarray:
        """(S V; S^T U) for the sparse matrix S of values."""
        self.passes += 1
        U, V = self.split(W)
        S = self.spread(values)
        return np.concatenate([S @ V, S.T @ U])

    def gradient(self, W: np.ndarray, residual: np.ndarray) -> np.ndarray:
        return (2.0 / self.y.size) * self.pull_back(W, residual)

    def along(self, W: np.ndarray, D: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        self.passes += 1
        U, V = (
            np.take(F, at, 0) for F, at in zip(self.split(W), (self.rows, self.cols), strict=True)
        )
        P, Q = (
            np.take(F, at, 0) for F, at in zip(self.split(D), (self.rows, self.cols), strict=True)
        )
        first = np.einsum("ij,ij->i", P, V) + np.einsum("ij,ij->i", U, Q)
        return first, np.einsum("ij,ij->i", P, Q)

    def precondition(self, W: np.ndarray, G: np.ndarray) -> np.ndarray:
        U, V = self.split(W)
        P, Q = self.split(G)
        left = linalg.solve(V.T @ V, P.T, assume_a="pos").T
        return np.concatenate([left, linalg.solve(U.T @ U, Q.T, assume_a="pos").T])

    def start(self, rank: int) -> np.ndarray:
        self.passes += 10
        S = self.spread(self.y / self.fraction)
        P, s, Qt = svds(S, k=rank, v0=np.ones(min(self.shape)))
        return np.concatenate([P * np.sqrt(s), Qt.T * np.sqrt(s)])


def _top_eigenvectors(S: np.ndarray, rank: int) -> np.ndarray:
    d = S.shape[0]
    values, vectors = linalg.eigh(S, subset_by_index=[d - rank, d - 1])
    return vectors * np.sqrt(np.maximum(values, 1e-3 * values[-1]))


def randomised_svd(Y: np.ndarray, rank: int, seed: int) -> Answer:
    """scikit-learn's truncated SVD of a matrix that is all there, with its own choice of products.

    Four or seven power iterations of two products each, and two more.
    """
    P, s, Qt = randomized_svd(Y, rank, random_state=seed)
    iterations = 7 if rank < 0.1 * min(Y.shape) else 4
    return Answer(lr.Factors(P * np.sqrt(s), Qt.T * np.sqrt(s)), 2.0 * iterations + 2.0)


def gauss_newton(problem: _Symmetric, rank: int, clock: Clock) -> Answer:
    """Levenberg-Marquardt with an explicit Jacobian and a Cholesky factorisation."""
    W = problem.start(rank)
    residual = problem.residual(W)
    loss, damping = float(residual @ residual), 1e-3
    goal = _floor(problem.y)
    for _ in range(200):
        J = problem.jacobian(W)
        hessian, slope = J.T @ J, J.T @ residual
        size = float(np.trace(hessian)) / slope.size
        while not clock.expired and damping < 1e6:
            shifted = hessian.copy()
            shifted.flat[:: slope.size + 1] += damping * size
            step = linalg.solve(shifted, slope, assume_a="pos", overwrite_a=True)
            trial = W - step.reshape(W.shape)
            new = problem.residual(trial)
            if new @ new < loss:
                break
            damping *= 8.0
        else:
            break
        before, loss = loss, float(new @ new)
        W, residual = trial, new
        damping = max(damping / 20.0, 1e-12)
        if loss < goal or loss > before * (1.0 - 1e-10):
            break
    return Answer(problem.factors(W), problem.passes, clock.note())


def lbfgs(problem: LeastSquares, width: int, clock: Clock, memory: int = 20) -> Answer:
    """SciPy's L-BFGS-B over factors of the given width, from the spectral estimate."""
    W = problem.start(width)
    shape = W.shape

    def value(x: np.ndarray) -> tuple[float, np.ndarray]:
        residual = problem.residual(x.reshape(shape))
        gradient = problem.gradient(x.reshape(shape), residual)
        return scale * float(residual @ residual) / residual.size, scale * gradient.ravel()

    def check(intermediate_result: optimize.OptimizeResult) -> None:
        if clock.expired or intermediate_result.fun < scale * goal:
            raise StopIteration

    # L-BFGS-B's first step and its tests are not scale-free: give it values of order one.
    scale = 1.0 / float(np.mean(problem.y**2))
    goal = _floor(problem.y) / problem.y.size
    options = {"maxcor": memory, "maxiter": 10**6, "maxfun": 10**6, "ftol": 0.0, "gtol": 1e-15}
    found = optimize.minimize(
        value, W.ravel(), jac=True, method="L-BFGS-B", callback=check, options=options
    )
    return Answer(problem.factors(found.x.reshape(shape)), problem.passes, clock.note())


def riemannian_cg(problem: LeastSquares, rank: int, clock: Clock) -> Answer:
    """Conjugate gradients on the quotient manifold of rank-r factors, with exact line search.

    The metric is the one of the preconditioned gradient, the line search minimises the quartic
    along the line, and the rule is Polak and Ribiere's with restarts.
    """
    W = problem.start(rank)
    residual = problem.residual(W)
    gradient = problem.gradient(W, residual)
    scaled = problem.precondition(W, gradient)
    direction, slope = -scaled, float(np.sum(gradient * scaled))
    goal, loss, idle = _floor(problem.y), float(residual @ residual), 0
    for iteration in range(1, 10**6):
        if loss < goal or clock.expired or idle == 20:
            break
        first, second = problem.along(W, direction)
        t = _quartic_step(residual, first, second)
        W = W + t * direction
        residual = residual + t * first + t * t * second
        if iteration % 25 == 0:
            residual = problem.residual(W)
        before, loss = loss, float(residual @ residual)
        idle = idle + 1 if loss > before * (1.0 - 1e-6) else 0
        previous, gradient = gradient, problem.gradient(W, residual)
        scaled = problem.precondition(W, gradient)
        beta = max(0.0, float(np.sum((gradient - previous) * scaled)) / slope)
        slope = float(np.sum(gradient * scaled))
        direction = -scaled + beta * direction
        if np.sum(direction * gradient) > -1e-3 * slope:
            direction = -scaled
    return Answer(problem.factors(W), problem.passes, clock.note())


def gradient_descent(
    problem: LeastSquares, width: int, clock: Clock, seed: int, size: float = 1e-3
) -> Answer:
    """Plain gradient descent from a small random start; the step is halved where it is too long."""
    reference = problem.start(1)
    top = float(np.max(np.sum(reference**2, axis=0)))
    curvature = 4.0 * top
    if isinstance(problem, Completion):
        curvature /= problem.shape[0] * problem.shape[1]
    rng = np.random.default_rng(seed)
    W = rng.standard_normal((reference.shape[0], width))
    W *= size * np.sqrt(top / width) / np.sqrt(reference.shape[0])
    step, goal = 0.5 / curvature, _floor(problem.y)
    residual = problem.residual(W)
    loss = float(residual @ residual)
    while loss > goal and step > 1e-12 / curvature and not clock.expired:
        gradient = problem.gradient(W, residual)
        trial = problem.residual(W - step * gradient)
        new = float(trial @ trial)
        if new > loss:
            step /= 2.0
            continue
        W -= step * gradient
        residual, loss = trial, new
    return Answer(problem.factors(W), problem.passes, clock.note())


def scaled_gradient_descent(problem: Completion, rank: int, clock: Clock) -> Answer:
    """ScaledGD: preconditioned gradient descent, with the exact step (a constant one diverges)."""
    W = problem.start(rank)
    residual = problem.residual(W)
    goal, loss, idle = _floor(problem.y), float(residual @ residual), 0
    while not (loss < goal or clock.expired or idle == 200):
        direction = -problem.precondition(W, problem.gradient(W, residual))
        W = W + _quartic_step(residual, *problem.along(W, direction)) * direction
        residual = problem.residual(W)
        before, loss = loss, float(residual @ residual)
        idle = idle + 1 if loss > before * (1.0 - 1e-5) else 0
    return Answer(problem.factors(W), problem.passes, clock.note())


def alternating_least_squares(problem: Completion, rank: int, clock: Clock) -> Answer:
    """Least squares for all rows, then for all columns, in turn."""
    U, V = problem.split(problem.factors(problem.start(rank)).balance().W)
    seen = problem.spread(np.ones_like(problem.y))
    values = problem.spread(problem.y)
    goal, loss, idle, size = _floor(problem.y), np.inf, 0, float(problem.y @ problem.y)
    relative = 1.0
    for _ in range(10**6):
        Q = linalg.qr(V, mode="economic")[0]
        Q = linalg.qr(_solve_rows(seen, values, Q, relative), mode="economic")[0]
        V = _solve_rows(seen.T, values.T, Q, relative)
        U = Q
        residual = problem.entries(U, V) - problem.y
        problem.passes += 3
        before, loss = loss, float(residual @ residual)
        relative = min(1.0, np.sqrt(loss / size))
        idle = idle + 1 if loss > before * (1.0 - 1e-5) else 0
        if loss < goal or clock.expired or idle == 50:
            break
    return Answer(lr.Factors(U, V), problem.passes, clock.note())


def _solve_rows(
    seen: sparse.sparray, values: sparse.sparray, V: np.ndarray, relative: float
) -> np.ndarray:
    """Rows u_i from the observed entries of each row, given orthonormal V.

    A ridge in proportion to the relative residual keeps rows with few entries from running away.
    """
    rank = V.shape[1]
    outer = (V[:, :, None] * V[:, None, :]).reshape(len(V), -1)
    gram = (seen @ outer).reshape(-1, rank, rank)
    mean = float(np.mean(np.diagonal(gram, axis1=1, axis2=2)))
    gram[:, range(rank), range(rank)] += (0.01 * relative + 1e-14) * mean
    return np.linalg.solve(gram, (values @ V)[:, :, None])[:, :, 0]


def successive_over_relaxation(problem: Completion, rank: int, clock: Clock) -> Answer:
    """Low-rank fit of the filled-in matrix with adaptive over-relaxation, as LMaFit does."""
    U, V = problem.split(problem.start(rank))
    residual = problem.y - problem.entries(U, V)
    loss, goal = float(residual @ residual), _floor(problem.y)
    relax, increment, idle = 1.0, 1.0, 0
    for _ in range(10**6):
        if loss < goal or clock.expired or idle == 200:
            break
        S = problem.spread(relax * residual)
        Q = linalg.qr(U @ (V.T @ V) + S @ V, mode="economic")[0]
        B = V @ (U.T @ Q) + S.T @ Q
        trial = problem.y - problem.entries(Q, B)
        problem.passes += 3
        new = float(trial @ trial)
        ratio = np.sqrt(new / loss)
        if ratio >= 1.0 and relax > 1.0:
            increment = max(0.1 * (relax - 1.0), 0.1 * increment)
            relax = 1.0
            continue
        idle = idle + 1 if ratio > 1.0 - 1e-6 else 0
        if ratio > 0.7:
            increment = max(increment, 0.25 * (relax - 1.0))
            relax += increment
        U, V, residual, loss = Q, B, trial, new
    return Answer(lr.Factors(U, V), problem.passes, clock.note())


def gauss_newton_lsqr(problem: Completion, rank: int, clock: Clock) -> Answer:
    """Gauss-Newton for the new factors of least norm, matrix-free, balanced after every step.

    The "setting" variant of GNMR (Zilber and Nadler, 2022). Least norm is what keeps it from the
    spiky fits that damped steps run into when entries are few; LSQR has to be fairly accurate.
    """
    W = problem.factors(problem.start(rank)).balance().W
    goal, size = _floor(problem.y), float(problem.y @ problem.y)
    best, best_loss, last = W, np.inf, 1.0
    for _ in range(300):
        operator, target = _linearised(problem, W)
        tolerance = max(1e-15, 1e-3 * last)
        z = lsqr(operator, target, atol=tolerance, btol=tolerance, iter_lim=1000)[0]
        W = problem.factors(z.reshape(W.shape)).balance().W
        residual = problem.residual(W)
        loss = float(residual @ residual)
        last = min(1.0, np.sqrt(loss / size))
        if loss < best_loss:
            best, best_loss = W, loss
        if loss < goal or clock.expired:
            break
    return Answer(problem.factors(best), problem.passes, clock.note())


def _linearised(problem: Completion, W: np.ndarray) -> tuple[LinearOperator, np.ndarray]:
    """J at W, and what J of the exact factors would be to first order: y + A(U V^T)."""
    U, V = problem.split(W)
    left, right = np.take(U, problem.rows, 0), np.take(V, problem.cols, 0)
    buffer = np.empty_like(left)

    def forward(z: np.ndarray) -> np.ndarray:
        problem.passes += 1
        P, Q = problem.split(z.reshape(W.shape))
        np.take(P, problem.rows, 0, out=buffer, mode="clip")
        out = np.einsum("ij,ij->i", buffer, right)
        np.take(Q, problem.cols, 0, out=buffer, mode="clip")
        return out + np.einsum("ij,ij->i", left, buffer)

    def adjoint(t: np.ndarray) -> np.ndarray:
        return problem.pull_back(W, t).ravel()

    operator = LinearOperator((problem.y.size, W.size), forward, adjoint, dtype=W.dtype)
    return operator, problem.y + np.einsum("ij,ij->i", left, right)


def soft_impute(problem: Completion, width: int, clock: Clock) -> Answer:
    """Nuclear-norm path with warm starts, by alternating ridge regressions of bounded width."""
    *_, last = soft_impute_path(problem, width, clock)
    return Answer(last, problem.passes, clock.note())


def soft_impute_path(problem: Completion, width: int, clock: Clock) -> Iterator[lr.Factors]:
    """Factors for each penalty of the path, strong ones first."""
    P, s, Q = problem.factors(problem.start(width)).svd()
    s = s * problem.fraction
    top = float(s[0])
    goal = _floor(problem.y)
    for penalty in top * np.geomspace(0.5, 1e-6, 30):
        for _ in range(200):
            before = s
            Q, s, P = _ridge_side(problem, P, s, Q, penalty, transpose=True)
            P, s, Q = _ridge_side(problem, P, s, Q, penalty, transpose=False)
            if clock.expired or linalg.norm(s - before) < 1e-5 * linalg.norm(before):
                break
        yield lr.Factors(P * np.sqrt(s), Q * np.sqrt(s))
        residual = problem.entries(P * s, Q) - problem.y
        if clock.expired or residual @ residual < goal:
            return


def _ridge_side(
    problem: Completion,
    P: np.ndarray,
    s: np.ndarray,
    Q: np.ndarray,
    penalty: float,
    *,
    transpose: bool,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One half step: regress the filled-in matrix on one factor and shrink."""
    problem.passes += 2
    S = problem.spread(problem.y - problem.entries(P * s, Q))
    shrink = s / (s + penalty)
    if transpose:
        left, s, right = linalg.svd((S.T @ P + Q * s) * shrink, full_matrices=False)
        return left, s, P @ right.T
    left, s, right = linalg.svd((S @ Q + P * s) * shrink, full_matrices=False)
    return left, s, Q @ right.T


def _floor(y: np.ndarray) -> float:
    """Squared residual that counts as zero."""
    exact = EXACT if y.dtype == np.float64 else 1e-6
    return exact**2 * float(y @ y)


def _quartic_step(residual: np.ndarray, first: np.ndarray, second: np.ndarray) -> float:
    """Positive t of least |residual + t first + t^2 second|."""
    rf, rs, ff = residual @ first, residual @ second, first @ first
    fs, ss = first @ second, second @ second
    roots = np.roots([2 * ss, 3 * fs, ff + 2 * rs, rf])
    real = roots[np.abs(roots.imag) <= 1e-9 * np.abs(roots)].real
    real = real[real > 0]
    if real.size == 0:
        return 0.0
    values = 2 * rf * real + (ff + 2 * rs) * real**2 + 2 * fs * real**3 + ss * real**4
    return float(real[np.argmin(values)])
