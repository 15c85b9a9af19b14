"""The desk: finds the operation that a call means, and checks who calls."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .account.account import Account
from .answers import Answer, RefusedError, not_permitted, text_answer
from .asked import Asked
from .bodies import Body
from .operations import OPERATIONS, Api, Operation, api_of


@dataclass(frozen=True)
class Desk:
    """Answers calls about an account: who may call (both keys, some operations as admin), what exists."""

    account: Account
    access_key: str
    secret_key: str

    def answer(
        self, method: str, path: str, query: Mapping[str, str], headers: Mapping[str, str], body: Body
    ) -> Answer:
        """Carry the call out, or say why not; ``headers`` are looked up in lower case."""
        try:
            self._check_keys(api_of(path), headers)
            operation, names = self._meant(method, path)
            self._check_rights(operation)
            return operation.handler(self.account, Asked(names, query, body))
        except RefusedError as refusal:
            return refusal.answer

    def _check_keys(self, api: Api, headers: Mapping[str, str]) -> None:
        if [headers.get(name) for name in api.key_headers] != [self.access_key, self.secret_key]:
            raise RefusedError(text_answer(401))

    def _meant(self, method: str, path: str) -> tuple[Operation, Mapping[str, str]]:
        for operation in OPERATIONS:
            names = operation.names_in(method, path, self.account.org_id)
            if names is not None:
                return operation, names
        raise RefusedError(text_answer(404))

    def _check_rights(self, operation: Operation) -> None:
        if operation.admin and not self.account.admin:
            raise not_permitted()
