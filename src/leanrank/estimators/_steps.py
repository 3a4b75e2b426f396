"""The steps of fitting an imputer: parameters checked, a table fitted, what was found described."""

from __future__ import annotations

from typing import Any

import numpy as np

from leanrank import _checks
from leanrank.estimators._arguments import check_fit_options
from leanrank.estimators._completing import TableCompleter
from leanrank.estimators._entries import Columns, Entries
from leanrank.estimators._fitting import Fitted, Watch, fit_table
from leanrank.estimators._models import Settings
from leanrank.recover import recover
from leanrank.results import Result
from leanrank.search import Strategy
from leanrank.solvers import Callback, Deadline

__all__ = ["TableFitter"]


class TableFitter(TableCompleter):
    """The part of :class:`~leanrank.LowRankImputer` that ``fit`` is made of."""

    def _check_parameters(self) -> None:
        """Check here what recover would not get to see, or not under this name."""
        for name in (
            "center", "scale", "keep_observed", "keep_empty_features", "keep_integers",
            "add_indicator", "sample_posterior",
        ):  # fmt: skip
            _checks.flag(getattr(self, name), name)
        if self.rank is not None:
            _checks.whole_number(self.rank, "rank", least=1)
        check_fit_options(self)

    def _fitted(
        self, entries: Entries, bounds: list[np.ndarray], rng: np.random.Generator
    ) -> Fitted:
        """What completes the rows of the centred and scaled table."""
        if self.rank is not None:
            _checks.whole_number(self.rank, "rank", least=1, most=max(min(entries.shape), 1))
        callbacks = _checks.functions(self.callbacks, "callbacks")
        if self.time_limit is not None:
            callbacks += (Deadline(self.time_limit),)

        def settings(watch: Watch) -> Settings:
            plain = entries.loss.plain
            return Settings(self.rank, self.width, self.center, plain, bounds[0], bounds[1], watch)

        return fit_table(
            entries,
            lambda part, rank, also: self._run(part, rank, (*callbacks, also)),
            settings,
            always=self._strategy() is not None,
            validation=self.validation,
            callbacks=callbacks,
            rng=rng,
        )

    def _run(self, entries: Entries, rank: int | None, callbacks: tuple[Callback, ...]) -> Result:
        width = None if self.width is None else min(self.width, *entries.shape)
        return recover(
            entries.problem().op,
            entries.values,
            loss=entries.loss,
            rank=rank,
            width=width,
            strategy=self._strategy(),
            validation=self.validation,
            max_iter=self.max_iter,
            callbacks=callbacks,
            random_state=self.random_state,
        )

    def _strategy(self) -> Strategy | None:
        """What recover is to propose factors by; it is asked in any case if there is one."""
        return None

    def _describe(self, loadings: np.ndarray, columns: Columns, n: int, dtype: Any) -> None:
        """The attributes that tell what was found, of all columns."""
        p, at = columns.counts.size, self._inner
        lengths = np.linalg.norm(loadings, axis=0)
        self.rank_ = lengths.size
        components, noise, middle = np.zeros((p, self.rank_)), np.zeros(p), np.zeros(p)
        components[at] = loadings / np.where(lengths > 0, lengths, 1.0)
        noise[at] = self._smooth.noise
        middle[at] = self._rows.mean
        self.components_ = components.T.astype(dtype)
        self.singular_values_ = (lengths * np.sqrt(n)).astype(dtype)
        self.noise_variance_ = noise
        self.mean_ = columns.offset + (columns.scale * middle if self.center else 0.0)
        self.statistics_ = self.mean_ if self.center else columns.means
        self.covariance_ = None
        if self._correlated:
            self.covariance_ = np.zeros((p, p))
            self.covariance_[np.ix_(at, at)] = self._rows.main.model.matrix
