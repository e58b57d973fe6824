"""``sharedvip webhook|reconciler|certs|simulator|demo|groups|audit``: reads the words of a command and hands them on.

Commands import what they run when they run: ``sharedvip --help`` must not wait for the Kubernetes client.
"""

import asyncio
import sys
from collections.abc import Coroutine
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
import uvloop

from cli.logs import LogFormat, configure
from cli.settings import SettingsError, load

app = typer.Typer(
    help="Services that share one VIP on the Avi load balancer: refused when they cannot, built when they can.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Config = Annotated[Path | None, typer.Option(help="YAML file with settings; flags and environment win over it.")]
Kubeconfig = Annotated[Path | None, typer.Option(help="Without it: the pod's own service account.")]
UsersKubeconfig = Annotated[
    Path | None, typer.Option(envvar="KUBECONFIG", help="Without it: ~/.kube/config, or the pod's service account.")
]
OutputForm = Annotated[str, typer.Option("--output", "-o", help="text or json (default text).")]
Format = Annotated[LogFormat, typer.Option(envvar="SHAREDVIP_LOG_FORMAT", help="Of the log on stderr.")]
HealthPort = Annotated[int | None, typer.Option(help="Plain HTTP: /livez, /readyz, /metrics (default 8080).")]
AviClass = Annotated[
    str | None,
    typer.Option("--load-balancer-class", help="The loadBalancerClass that is ours (default ako.vmware.com/avi-lb)."),
]
DefaultClass = Annotated[
    bool | None,
    typer.Option("--default-class/--no-default-class", help="Whether Services without a class are ours (default yes)."),
]

_WRONG_SETTINGS = 2
Form = TypeVar("Form", bound=StrEnum)


@app.command()
def webhook(  # noqa: PLR0913 - one parameter per flag
    *,
    certificate: Annotated[Path, typer.Option(envvar="SHAREDVIP_WEBHOOK_CERTIFICATE", help="PEM; watched.")],
    key: Annotated[Path, typer.Option(envvar="SHAREDVIP_WEBHOOK_KEY", help="PEM; watched.")],
    port: Annotated[int | None, typer.Option(help="HTTPS: /validate, /mutate (default 9443).")] = None,
    host: Annotated[str | None, typer.Option(help="Where to listen (default 0.0.0.0).")] = None,
    health_port: HealthPort = None,
    drain_seconds: Annotated[float | None, typer.Option(help="Not ready, and still serving (default 5).")] = None,
    linger_seconds: Annotated[
        float | None, typer.Option(help="Then, at most, until callers close unused connections (default 95).")
    ] = None,
    client_ca: Annotated[
        Path | None, typer.Option(help="PEM; watched. Only callers with a certificate of these authorities.")
    ] = None,
    client_name: Annotated[
        list[str] | None, typer.Option(help="And of these, only this common or DNS name; repeatable.")
    ] = None,
    load_balancer_class: AviClass = None,
    is_default_class: DefaultClass = None,
    kubeconfig: Kubeconfig = None,
    config: Config = None,
    log_format: Format = LogFormat.JSON,
) -> None:
    """Refuse Services that cannot share their VIP, at admission."""
    from certs.errors import MaterialError  # noqa: PLC0415 - see the module's docstring
    from cli.webhook import run_webhook  # noqa: PLC0415 - likewise
    from webhook.settings import WebhookSettings  # noqa: PLC0415 - likewise

    flags = {
        "port": port,
        "host": host,
        "health_port": health_port,
        "drain_seconds": drain_seconds,
        "linger_seconds": linger_seconds,
        "client_ca": client_ca,
        "client_names": client_name,
        "load_balancer_class": load_balancer_class,
        "is_default_class": is_default_class,
    }
    settings = _settings(WebhookSettings, "SHAREDVIP_WEBHOOK_", flags, config)
    configure(log_format)
    try:
        _run(run_webhook(settings, certificate=certificate, key=key, kubeconfig=kubeconfig))
    except MaterialError as error:
        _fail(str(error))


@app.command()
def reconciler(  # noqa: PLR0913 - one parameter per flag
    *,
    mode: Annotated[
        str | None, typer.Option(help="full: build on Avi; guard: keep the ledger only (default full).")
    ] = None,
    cluster_name: Annotated[str | None, typer.Option(help="Different for each cluster on one Controller.")] = None,
    avi_controller: Annotated[str | None, typer.Option(help="Host, or https URL.")] = None,
    avi_credentials_directory: Annotated[Path | None, typer.Option(help="With username, password, ca.crt.")] = None,
    avi_cloud: Annotated[str | None, typer.Option(help="The cloud (default Default-Cloud).")] = None,
    avi_tenant: Annotated[str | None, typer.Option(help="The tenant (default admin).")] = None,
    avi_vip_network: Annotated[
        list[str] | None, typer.Option(help="Where VIPs come from: net1, or net1=10.0.0.0/24; repeatable.")
    ] = None,
    health_port: HealthPort = None,
    load_balancer_class: AviClass = None,
    is_default_class: DefaultClass = None,
    kubeconfig: Kubeconfig = None,
    config: Config = None,
    log_format: Format = LogFormat.JSON,
) -> None:
    """Build what was admitted on the Avi Controller, and keep it true."""
    from reconciler.run import run  # noqa: PLC0415 - see the module's docstring
    from reconciler.settings import ReconcilerSettings  # noqa: PLC0415 - likewise

    flags = {
        "mode": mode,
        "cluster_name": cluster_name,
        "avi_controller": avi_controller,
        "avi_credentials_directory": avi_credentials_directory,
        "avi_cloud": avi_cloud,
        "avi_tenant": avi_tenant,
        "avi_vip_networks": avi_vip_network,
        "health_port": health_port,
        "load_balancer_class": load_balancer_class,
        "is_default_class": is_default_class,
    }
    settings = _settings(ReconcilerSettings, "SHAREDVIP_RECONCILER_", flags, config)
    configure(log_format)
    _run(run(settings, kubeconfig=kubeconfig))


@app.command()
def certs(  # noqa: PLR0913 - one parameter per flag
    *,
    namespace: Annotated[
        str | None, typer.Option(help="Of the Secrets and the Service (default sharedvip-system).")
    ] = None,
    service: Annotated[
        str | None, typer.Option(help="By which the API server calls (default sharedvip-webhook).")
    ] = None,
    dns_name: Annotated[list[str] | None, typer.Option(help="A further name; repeatable.")] = None,
    ip_address: Annotated[list[str] | None, typer.Option(help="A further address; repeatable.")] = None,
    configuration: Annotated[
        str | None, typer.Option(help="Webhook configurations' name (default sharedvip.dev).")
    ] = None,
    directory: Annotated[Path | None, typer.Option(help="Write files there and ask no cluster.")] = None,
    kubeconfig: Kubeconfig = None,
    config: Config = None,
    log_format: Format = LogFormat.TEXT,
) -> None:
    """Issue or renew the webhook's certificate, and tell the API server whom to trust."""
    from certs.command import CertsSettings, run  # noqa: PLC0415 - see the module's docstring

    flags = {
        "namespace": namespace,
        "service": service,
        "dns_names": dns_name,
        "ip_addresses": ip_address,
        "configuration": configuration,
        "directory": directory,
        "kubeconfig": kubeconfig,
    }
    settings = _settings(CertsSettings, "SHAREDVIP_CERTS_", flags, config)
    configure(log_format)
    _run(run(settings))


@app.command(add_help_option=False, context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def simulator(context: typer.Context) -> None:
    """Run a simulated Avi Controller; for tests and playgrounds."""
    from simulator.__main__ import main as simulate  # noqa: PLC0415 - see the module's docstring

    sys.exit(simulate(context.args))


@app.command()
def demo(
    *,
    keep: Annotated[
        Path | None, typer.Option(help="Leave all running until Ctrl-C; how to reach it goes there.")
    ] = None,
    webhooks: Annotated[int, typer.Option(min=1, max=9, help="How many webhook replicas.")] = 2,
) -> None:
    """Show the main job on this machine: a real control plane, a simulated Avi Controller, real kubectl."""
    from cli.demo.keep import keep_running  # noqa: PLC0415 - see the module's docstring
    from cli.demo.story import tell  # noqa: PLC0415 - likewise

    sys.exit(tell(webhooks=webhooks) if keep is None else keep_running(keep, webhooks=webhooks))


@app.command()
def groups(
    *,
    namespace: Annotated[str, typer.Option("--namespace", "-n", help="Of the groups (default: all namespaces).")] = "",
    output: OutputForm = "text",
    kubeconfig: UsersKubeconfig = None,
) -> None:
    """Print every group as a tree: VIP, listeners, Services, servers, and who was refused."""
    from cli.groups import Output, show  # noqa: PLC0415 - see the module's docstring

    _run(show(namespace=namespace, output=_one_of(Output, output, flag="--output"), kubeconfig=kubeconfig))


@app.command()
def audit(
    *,
    namespace: Annotated[str, typer.Option("--namespace", "-n", help="Of the findings (default: all).")] = "",
    output: OutputForm = "text",
    ledger: Annotated[bool, typer.Option("--ledger", help="Also compare ledgers and address locks.")] = False,
    load_balancer_class: AviClass = None,
    is_default_class: DefaultClass = None,
    kubeconfig: UsersKubeconfig = None,
) -> None:
    """Find what is stored and breaks a rule; exit code 0: nothing, 1: something, 2: nobody could be asked."""
    from cli.audit import Output, run_audit  # noqa: PLC0415 - see the module's docstring
    from sharedvip.model import Policy  # noqa: PLC0415 - likewise

    usual, form = Policy(), _one_of(Output, output, flag="--output")
    policy = Policy(
        usual.load_balancer_class if load_balancer_class is None else load_balancer_class,
        usual.is_default_class if is_default_class is None else is_default_class,
    )
    _run(run_audit(kubeconfig=kubeconfig, namespace=namespace, output=form, with_ledger=ledger, policy=policy))


def main() -> None:
    """The entry point."""
    app()


def _one_of(forms: type[Form], said: str, *, flag: str) -> Form:
    """The form that is meant; told in typer's own way where there is none."""
    try:
        return forms(said)
    except ValueError:
        raise typer.BadParameter(f"{said!r} must be one of {', '.join(forms)}", param_hint=flag) from None


def _settings(kind: type[Any], prefix: str, flags: dict[str, Any], config: Path | None) -> Any:  # noqa: ANN401 - of ``kind``
    try:
        return load(kind, prefix=prefix, flags=flags, file=config)
    except SettingsError as error:
        for problem in error.problems:
            typer.echo(f"{typer.style('wrong setting', fg='red')} {problem}", err=True)
        raise typer.Exit(_WRONG_SETTINGS) from None


def _run(program: Coroutine[Any, Any, int]) -> None:
    """Run a program to its end; what it cannot do without ends it with a sentence, not a traceback."""
    import msgspec  # noqa: PLC0415 - see the module's docstring

    from cluster.errors import ClusterError  # noqa: PLC0415 - likewise

    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            sys.exit(runner.run(program))
    except (ClusterError, OSError) as error:
        _fail(str(error))
    except msgspec.DecodeError as error:
        _fail(f"the API server answered with something that cannot be read: {error}")
    except KeyboardInterrupt:
        sys.exit(130)


def _fail(problem: str) -> None:
    typer.echo(f"{typer.style('sharedvip:', fg='red')} {problem}", err=True)
    raise typer.Exit(1)
