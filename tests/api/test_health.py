"""What machines ask: alive, ready, counted."""

from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from sioserver._version import __version__
from sioserver.api.headers import ANSWER
from sioserver.api.health import routes
from sioserver.metrics import Metrics
from sioserver.metrics.exposition import render


def client(
    reasons: list[str], metrics: Metrics | None = None
) -> TestClient[web.Request, web.Application]:
    app = web.Application()
    app.add_routes(routes(lambda: reasons, metrics or Metrics()))
    return TestClient(TestServer(app))


async def test_alive() -> None:
    async with client(["the store is gone"]) as http:  # alive all the same
        answer = await http.get("/healthz")
        assert answer.status == 200
        assert await answer.json() == {"ok": True, "version": __version__}
        assert answer.headers.items() >= ANSWER.items()


async def test_ready_and_not() -> None:
    reasons: list[str] = []
    async with client(reasons) as http:
        answer = await http.get("/readyz")
        assert answer.status == 200
        assert await answer.json() == {"ready": True}
        reasons += ["draining", "the disk is full"]
        answer = await http.get("/readyz")
        assert answer.status == 503
        assert await answer.json() == {"ready": False, "reasons": ["draining", "the disk is full"]}
        reasons.clear()
        assert (await http.get("/readyz")).status == 200
        assert answer.headers["Cache-Control"] == "no-store"


async def test_metrics() -> None:
    metrics = Metrics()
    metrics.deliveries += 41
    async with client([], metrics) as http:
        answer = await http.get("/metrics")
        assert answer.status == 200
        assert answer.headers["Content-Type"] == render(metrics)[1]
        assert answer.headers.items() >= ANSWER.items()
        assert "sioserver_deliveries_total 41.0\n" in await answer.text()
        metrics.deliveries += 1
        assert "sioserver_deliveries_total 42.0\n" in await (await http.get("/metrics")).text()


async def test_only_reading() -> None:
    async with client([]) as http:
        for path in ("/healthz", "/readyz", "/metrics"):
            assert (await http.head(path)).status == 200
            assert (await http.post(path)).status == 405
