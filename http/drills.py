"""/api/_diag/drills: failure drills against the live cluster, for admins, where the operator enabled them."""

from __future__ import annotations

import msgspec
from falcon.asgi import Request, Response

from .describe import Media, route
from .diag import DiagResource
from .parse import JSON, answer, read_json
from .problems import Refused


class DrillBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`force` runs it although an election is open; `gently` makes a leader hand over instead of ending it."""

    force: bool = False
    gently: bool = False


class DrillList(msgspec.Struct, frozen=True):
    enabled: bool
    drills: list[str]


class Drills(DiagResource):
    @route("drills", "Which drills there are", "admin", {200: DrillList}, current=False)
    async def on_get(self, req: Request, resp: Response) -> None:
        await self.require_admin(req)
        runner = self.services.deps.drills
        answer(resp, DrillList(runner is not None, list(runner.names) if runner is not None else []))

    @route(
        "runDrill",
        "Run one drill against the live cluster",
        "admin",
        {200: Media(JSON, "what the drill did, saw and measured, step by step, see docs/drills.md")},
        "DrillsDisabled UnknownDrill DrillRunning ElectionRunning",
        body=DrillBody,
    )
    async def on_post_run(self, req: Request, resp: Response, name: str) -> None:
        await self.require_admin(req)
        runner = self.services.deps.drills
        if runner is None:
            raise Refused("DrillsDisabled", "the operator of this node has not enabled drills")
        body = await read_json(req, DrillBody, self.services.settings.max_body)
        if name not in runner.names:
            raise Refused("UnknownDrill", f"the drills are {', '.join(runner.names)}")
        answer(resp, await runner.run(name, force=body.force, gently=body.gently))
