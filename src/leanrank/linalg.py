"""Matrix-free linear algebra: conjugate gradients, extreme eigenvalues, leading singular pairs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from leanrank._arrays import Array, MatrixLike, array_namespace, device_of, gaussian, like, norm

__all__ = [
    "ConjugateGradients",
    "RitzPairs",
    "conjugate_gradients",
    "eigenpairs",
    "leading_pairs",
    "singular_value",
    "smallest_eigenpair",
    "smallest_eigenvalue",
]

Operator = Callable[[Array], Array]

_ROOM = 1 << 22
"""Numbers of a Lanczos basis that are kept where no vector is asked for."""
_PRODUCTS, _RESOLVED = 60, 1e-5
"""Of Lanczos: products at most, and the residual of what is found over the spectrum's width."""


def singular_value(matrix: Array, number: int = 1) -> float:
    """Singular value of a given number, the largest being 1; 0 where there are fewer."""
    if min(matrix.shape) < number:
        return 0.0
    return float(array_namespace(matrix).linalg.svdvals(matrix)[number - 1])


@dataclass(frozen=True)
class ConjugateGradients:
    """A solution of H x = b by preconditioned conjugate gradients.

    Attributes
    ----------
    x : array
    iterations : int
    residual : float
        Norm of the residual in the preconditioner's metric, relative to that of b.
    smallest_ritz : float
        Smallest eigenvalue, as far as seen, of the preconditioned operator (Lanczos).
    """

    x: Array
    iterations: int
    residual: float
    smallest_ritz: float


def conjugate_gradients(
    H: Operator, b: Array, precondition: Operator, *, tol: float, max_iter: int
) -> ConjugateGradients:
    """Solve H x = b for a positive semi-definite H, from x = 0.

    Stops when the residual, measured with the preconditioner, has fallen by ``tol``, after
    ``max_iter`` steps, or at a direction of no curvature.
    """
    xp = array_namespace(b)
    x = xp.zeros_like(b)
    r = b
    z = precondition(r)
    p = z
    rz = float(xp.sum(r * z))
    start = rz
    alphas: list[float] = []
    betas: list[float] = []
    # A right-hand side that has a part in the kernel makes the iterates grow without end.
    while len(alphas) < max_iter and tol * tol * start < rz < 1e12 * start:
        q = H(p)
        curvature = float(xp.sum(p * q))
        # For a preconditioner near the inverse the two are of one size: this direction is flat.
        if not curvature > 1e-12 * rz:
            break
        alpha = rz / curvature
        x = x + alpha * p
        r = r - alpha * q
        z = precondition(r)
        new = float(xp.sum(r * z))
        alphas.append(alpha)
        betas.append(new / rz)
        p = z + (new / rz) * p
        rz = new
    relative = (max(rz, 0.0) / start) ** 0.5 if start > 0 else 0.0
    return ConjugateGradients(x, len(alphas), relative, _smallest_ritz(alphas, betas))


def _smallest_ritz(alphas: list[float], betas: list[float]) -> float:
    """Smallest eigenvalue of the Lanczos matrix that conjugate gradients build on the way."""
    if not alphas:
        return 0.0
    a, b = np.array(alphas), np.array(betas[:-1])
    diagonal = 1.0 / a
    diagonal[1:] += b / a[:-1]
    off = np.sqrt(b) / a[:-1]
    return float(np.linalg.eigvalsh(np.diag(diagonal) + np.diag(off, 1) + np.diag(off, -1))[0])


def _orthonormalise(block: Array, against: list[Array]) -> Array:
    """Orthonormal columns that span what ``block`` has outside the span of earlier blocks.

    They are as many as the block has, and orthogonal to the earlier ones, whatever its rank.
    """
    xp = array_namespace(block)
    new = block
    for _ in range(2):
        for Q in against:
            new = new - Q @ (Q.T @ new)
    new = xp.linalg.qr(new)[0]
    # Where the block brings nothing new, the directions that QR makes up are not orthogonal to
    # the earlier blocks. Householder QR of all of them together makes up better ones.
    limit = float(xp.finfo(block.dtype).eps) ** 0.5
    if any(float(xp.max(xp.abs(Q.T @ new))) > limit for Q in against):
        return xp.linalg.qr(xp.concat([*against, block], axis=1))[0][:, -int(block.shape[1]) :]
    return new


def leading_pairs(
    matrix: MatrixLike,
    k: int,
    rng: np.random.Generator,
    reference: Array,
    *,
    symmetric: bool = False,
    depth: int = 8,
) -> tuple[Array, Array, Array]:
    """Leading singular triplets of a matrix, or algebraically largest eigenpairs.

    Block Krylov iteration with full re-orthogonalisation and a Rayleigh-Ritz step: for the few
    leading pairs that pruning and growing ask for, a dozen products are enough. Exact where the
    smaller side has at most ``depth (k + 4)`` entries.

    Parameters
    ----------
    matrix : MatrixLike, shape (n1, n2)
    k : int
        Number of pairs wanted.
    rng : Generator
        Draws the starting block.
    reference : array
        Its namespace, dtype and device are used.
    symmetric : bool
        Largest eigenpairs of (M + M^T) / 2 instead of singular triplets.
    depth : int
        Number of blocks; each costs one product with the matrix and one with its transpose.

    Returns
    -------
    left : array, shape (n1, j)
    values : array, shape (j,), decreasing
    right : array, shape (n2, j)
        The same as ``left`` when symmetric.
    """
    n1, n2 = matrix.shape
    if n1 > n2:
        right, values, left = leading_pairs(matrix.T, k, rng, reference, depth=depth)
        return left, values, right
    xp = array_namespace(reference)
    width = k + 4
    small = n1 <= depth * width
    if small:
        # So few products see all of the matrix.
        block = xp.eye(n1, dtype=reference.dtype, device=device_of(reference))
        depth = 1
    else:
        block = _orthonormalise(gaussian(rng, (n2, width), reference), [])
    images: list[Array] = []
    if symmetric:
        basis = [block]
        for i in range(depth):
            images.append((matrix @ basis[-1] + matrix.T @ basis[-1]) / 2)
            if i + 1 < depth:
                basis.append(_orthonormalise(images[-1], basis))
        Q, image = xp.concat(basis, axis=1), xp.concat(images, axis=1)
        core = Q.T @ image
        values, vectors = xp.linalg.eigh((core + core.T) / 2)
        vectors = Q @ xp.flip(vectors, axis=1)[:, :k]
        return vectors, xp.flip(values)[:k], vectors
    rights, lefts = [block], [block] if small else []
    for i in range(depth):
        if not small:
            lefts.append(_orthonormalise(matrix @ rights[-1], lefts))
        images.append(matrix.T @ lefts[-1])
        if i + 1 < depth:
            rights.append(_orthonormalise(images[-1], rights))
    right, values, left = xp.linalg.svd(xp.concat(images, axis=1), full_matrices=False)
    return xp.concat(lefts, axis=1) @ left.T[:, :k], values[:k], right[:, :k]


class RitzPairs:
    """Singular triplets of a matrix, or eigenpairs, as a space that grows by blocks holds them.

    Rayleigh-Ritz on the span of the images of all blocks. Blocks of leading right vectors make it
    the block Krylov space of the pairs that are still moving, which is narrower than that of all.
    """

    def __init__(self, matrix: MatrixLike, *, symmetric: bool = False) -> None:
        self._matrix, self._symmetric = matrix, symmetric
        self._lefts: list[Array] = []
        self._images: list[Array] = []

    @property
    def width(self) -> int:
        """Columns of the basis."""
        return sum(int(Q.shape[1]) for Q in self._lefts)

    def extend(self, block: Array) -> None:
        """Take in the image of a block, shape (n2, b): two products with the matrix."""
        self._lefts.append(_orthonormalise(self._matrix @ block, self._lefts))
        self._images.append(self._matrix.T @ self._lefts[-1])

    def pairs(self) -> tuple[Array, Array, Array]:
        """Left vectors, values and right vectors; eigenvalues with signs, largest sizes first."""
        xp = array_namespace(self._lefts[0])
        basis, image = xp.concat(self._lefts, axis=1), xp.concat(self._images, axis=1)
        if not self._symmetric:
            right, values, left = xp.linalg.svd(image, full_matrices=False)
            return basis @ left.T, values, right
        return eigenpairs(basis.T @ image, basis)


def eigenpairs(core: Array, basis: Array | None = None) -> tuple[Array, Array, Array]:
    """Eigenvectors of a symmetric matrix (in a basis), eigenvalues by size, and the vectors."""
    xp = array_namespace(core)
    values, vectors = xp.linalg.eigh((core + core.T) / 2)
    order = xp.argsort(xp.abs(values), descending=True)
    vectors = xp.take(vectors, order, axis=1)
    vectors = vectors if basis is None else basis @ vectors
    return vectors, xp.take(values, order), vectors


def smallest_eigenvalue(H: Operator, start: Array) -> float:
    """Smallest eigenvalue of a symmetric operator, as :func:`smallest_eigenpair` finds it.

    Long bases are not kept: new vectors are orthogonalised against the last ones, two at least.
    Eigenvalues that are found may be found again then, and are no others (Paige 1980).
    """
    kept = max(2, _ROOM // int(np.prod(tuple(start.shape))))
    return _lanczos(H, start, _PRODUCTS, _RESOLVED, kept)[0]


def smallest_eigenpair(
    H: Operator, start: Array, *, max_iter: int = _PRODUCTS, tol: float = _RESOLVED
) -> tuple[float, Array]:
    """Smallest eigenvalue of a symmetric operator and its vector, by Lanczos.

    Lanczos with full re-orthogonalisation works on ``H`` itself, where a shifted or inverted
    operator would be misled by the large kernel that rotations of the factors leave.

    Parameters
    ----------
    H : callable
        Maps an array of some shape to one of the same shape.
    start : array
        Starting direction of that shape, not zero.
    max_iter : int
        Largest number of products.
    tol : float
        Stop when the eigenpair's residual is below ``tol`` times the spectrum's width. A large
        tolerance stops at the kernel: in dimension 1000, 1e-3 overlooks a negative eigenvalue of
        a hundredth of the width.

    Returns
    -------
    value : float
        A Rayleigh quotient: at least the true smallest eigenvalue, up to rounding.
    vector : array
        Of unit norm.
    """
    value, weights, basis = _lanczos(H, start, max_iter, tol, max_iter)
    vector = like(weights, start) @ basis[: len(weights), :]
    return value, array_namespace(start).reshape(vector, tuple(start.shape))


def _lanczos(
    H: Operator, start: Array, max_iter: int, tol: float, kept: int
) -> tuple[float, np.ndarray, Array]:
    """The smallest Ritz value, its vector in the basis, and the basis, its last ``kept`` rows."""
    xp = array_namespace(start)
    rounding = 100.0 * float(xp.finfo(start.dtype).eps)
    shape = tuple(start.shape)
    size = int(np.prod(shape))
    most = min(max_iter, size)
    kept = min(kept, most)
    basis = xp.zeros((kept, size), dtype=start.dtype, device=device_of(start))
    basis[0, :] = xp.reshape(start, (-1,)) / norm(start)
    diagonal: list[float] = []
    off: list[float] = []
    value, weights = 0.0, np.ones(1)
    for i in range(most):
        q = basis[i % kept, :]
        image = xp.reshape(H(xp.reshape(q, shape)), (-1,))
        diagonal.append(float(xp.sum(q * image)))
        Q = basis[: i + 1, :]
        for _ in range(2):
            image = image - (Q @ image) @ Q
        rest = norm(image)
        values, vectors = np.linalg.eigh(
            np.diag(diagonal) + np.diag(off[:i], 1) + np.diag(off[:i], -1)
        )
        value, weights = float(values[0]), vectors[:, 0]
        width = max(abs(values[0]), abs(values[-1]))
        done = rest <= rounding * width or rest * abs(weights[-1]) <= tol * width
        if done or i + 1 == most:
            break
        off.append(rest)
        basis[(i + 1) % kept, :] = image / rest
    return value, weights, basis
