"""The cache of EndpointSlices: by Service, as Kubernetes means it."""

from cluster.endpoint_slices import Endpoint, EndpointSlice, EndpointSliceCache, SlicePort
from sharedvip.model import ServiceName
from tests.cluster.scripted import Object, ScriptedApi, event, follow, in_no_time, page

WEB = ServiceName("ns", "web")


def piece(name: str, *endpoints: Object, service: str | None = "web", **fields: object) -> Object:
    """A slice of a Service, or of none."""
    labels = {} if service is None else {"kubernetes.io/service-name": service}
    metadata = {"namespace": "ns", "name": name, "labels": labels}
    return {"metadata": metadata, "addressType": "IPv4", "endpoints": list(endpoints), **fields}


def test_a_slice_says_what_kubernetes_means() -> None:
    """No condition means ready; no name, port or protocol means what the API reference says."""

    async def story() -> None:
        endpoints: list[Object] = [
            {"addresses": ["10.1.0.1"], "nodeName": "n"},
            {"addresses": ["10.1.0.2"], "conditions": {"ready": False, "terminating": True}},
        ]
        ports = [{"name": "http", "port": 8080, "protocol": "TCP"}, {}]
        script = ScriptedApi([page(piece("web-1", *endpoints, ports=ports), piece("stray", service=None))])
        cache = EndpointSliceCache(script.api, on_change=lambda _: None)
        await follow(cache.run, script)

        assert cache.of(WEB) == (
            EndpointSlice(
                "web-1",
                WEB,
                "IPv4",
                (SlicePort("http", 8080, "TCP"), SlicePort("", 0, "TCP")),
                (
                    Endpoint(("10.1.0.1",), is_ready=True, is_terminating=False, node="n"),
                    Endpoint(("10.1.0.2",), is_ready=False, is_terminating=True, node=""),
                ),
            ),
        )

    in_no_time(story)


def test_whoever_is_concerned_is_told() -> None:
    """A slice that passes to another Service concerns both; one that is as before nobody."""

    async def story() -> None:
        told: list[str] = []
        script = ScriptedApi(
            [page(piece("web-2"), piece("web-1"))],
            [
                [
                    event("MODIFIED", piece("web-1")),
                    event("MODIFIED", piece("web-1", service="api")),
                    event("DELETED", piece("web-2")),
                ]
            ],
        )
        cache = EndpointSliceCache(script.api, on_change=lambda service: told.append(service.name))
        await follow(cache.run, script)

        assert told[:2] == ["web", "web"]
        assert (sorted(told[2:4]), told[4:]) == (["api", "web"], ["web"])
        assert ([s.name for s in cache.of(ServiceName("ns", "api"))], cache.of(WEB)) == (["web-1"], ())

    in_no_time(story)
