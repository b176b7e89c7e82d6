//! `lessor serve`: HTTP, and a loop that works off what is due.

use std::{net::SocketAddr, path::Path, process::ExitCode, sync::Arc, time::Duration};

use anyhow::{Context, bail};
use jiff::SignedDuration;
use secrecy::{ExposeSecret, SecretString};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{output, parts, reload::Watch, settings::Settings};
use crate::{
    gateway,
    provider::{
        Provider,
        port::Subject,
        step::{Budget, Pass},
    },
    telemetry::{self, LogFormat},
};

/// `lessor serve`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only answer requests: what is due is left to `lessor step`, or to POST /internal/v1/tick.
    #[arg(long)]
    no_worker: bool,
}

/// The most steps of one pass of the loop.
const STEPS: u32 = 10_000;
/// The longest that one pass of the loop may take.
const PASS: SignedDuration = SignedDuration::from_secs(20);

/// Serves until SIGTERM or SIGINT.
pub async fn run(args: Args, config: Option<&Path>) -> anyhow::Result<ExitCode> {
    let settings = Settings::load(config, std::env::vars())?;
    write_logs(&settings)?;
    let stop = stop_on_signal()?;
    let provider = parts::provider(&settings).await?;
    serve(settings, provider, !args.no_worker, stop).await?;
    Ok(ExitCode::SUCCESS)
}

/// Serves with a provider that is put together already, until `stop`, and works off what is due if it `works`.
pub async fn serve(
    settings: Settings,
    provider: Arc<Provider>,
    works: bool,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let serving = Serving::bind(&settings, provider.clone(), None, &stop).await?;
    // From here on SIGHUP ends nothing, so whoever reads the addresses may send it.
    let watch = Watch::new(&settings, provider.clone(), Box::new(|_| {}))?;
    for (name, address) in serving.addresses() {
        output::tell(format_args!("{name} http://{address}"));
    }
    // They end with the process; a scheduled function lists what it needs instead.
    let _watches = provider.cluster.watch();
    let worker = async {
        if works {
            work(&provider, Duration::from_millis(settings.chain.poll_ms), &stop).await;
        }
    };
    tokio::join!(serving.run(stop.clone()), worker, watch.run(stop.clone()));
    Ok(())
}

/// The listeners with what answers on them.
pub struct Serving {
    listeners: Vec<(&'static str, TcpListener, axum::Router)>,
    drain: Duration,
}

impl Serving {
    /// Binds the listeners of the settings. `more` answers on the public one beside the gateway.
    pub async fn bind(
        settings: &Settings,
        provider: Arc<Provider>,
        more: Option<axum::Router>,
        stop: &CancellationToken,
    ) -> anyhow::Result<Self> {
        let token = admin_token(&settings.admin.token_file)?;
        let metrics = Arc::new(telemetry::Metrics::default());
        let state = gateway::State::new(
            provider,
            gateway::Settings { admin_token: token, behind_proxy: settings.listen.behind_proxy },
            metrics,
            stop.clone(),
        );
        let drain = Duration::from_secs(settings.listen.drain_s);
        let public = bind(&settings.listen.public, settings.listen.behind_proxy).await?;
        let merged = |router: axum::Router| match more {
            Some(more) => router.merge(more),
            None => router,
        };
        if settings.listen.admin.is_empty() {
            let router = merged(gateway::router::merged(&state));
            return Ok(Self { listeners: vec![("public", public, router)], drain });
        }
        let admin = bind(&settings.listen.admin, settings.listen.behind_proxy).await?;
        Ok(Self {
            listeners: vec![
                ("public", public, merged(gateway::router::public(&state))),
                ("admin", admin, gateway::router::admin(&state)),
            ],
            drain,
        })
    }

    /// Which listener is where.
    #[must_use]
    pub fn addresses(&self) -> Vec<(&'static str, SocketAddr)> {
        let address = |listener: &TcpListener| listener.local_addr().ok();
        self.listeners
            .iter()
            .filter_map(|(name, listener, _)| Some((*name, address(listener)?)))
            .collect()
    }

    /// Answers until `stop`, then lets the requests under way end for as long as `listen.drain_s` says.
    pub async fn run(self, stop: CancellationToken) {
        let drain = self.drain;
        let served = self
            .listeners
            .into_iter()
            .map(|(_, listener, router)| gateway::serve(listener, router, stop.clone(), drain));
        futures_util::future::join_all(served).await;
    }
}

/// Writes logs as the settings say.
pub fn write_logs(settings: &Settings) -> anyhow::Result<()> {
    let format = match settings.log.format.as_str() {
        "text" => LogFormat::Text,
        "json" => LogFormat::Json,
        other => bail!("log.format {other:?} is not known; allowed are \"text\" and \"json\""),
    };
    let filter = std::env::var("LESSOR_LOG").unwrap_or_else(|_| settings.log.filter.clone());
    telemetry::write_logs(format, &filter)?;
    Ok(())
}

async fn bind(address: &str, behind_proxy: bool) -> anyhow::Result<TcpListener> {
    let listener =
        TcpListener::bind(address).await.with_context(|| format!("listen on {address}"))?;
    let local = listener.local_addr()?;
    if !local.ip().is_loopback() && !behind_proxy {
        bail!(
            "{address} is beyond loopback and lessor speaks plain HTTP there: put a proxy with TLS in front and set listen.behind_proxy = true"
        );
    }
    Ok(listener)
}

/// The operator's token; the file must be readable by its owner only.
fn admin_token(file: &str) -> anyhow::Result<Option<SecretString>> {
    if file.is_empty() {
        return Ok(None);
    }
    let token = crate::chain::read_private(file.as_ref())?;
    let length = token.expose_secret().len();
    if length < 16 {
        bail!("{file}: the operator's token has {length} characters, at least 16 are needed");
    }
    Ok(Some(token))
}

/// Works off what is due until `stop`: whenever this process is poked, something falls due, or the node may have a new block.
pub async fn work(provider: &Provider, poll: Duration, stop: &CancellationToken) {
    if let Err(error) = provider.store.wake(&[Subject::Provider], None, provider.clock.now()).await
    {
        tracing::warn!(error = %error, "the provider could not be woken at the start");
    }
    while !stop.is_cancelled() {
        let until = provider.clock.now().saturating_add(PASS).unwrap_or(jiff::Timestamp::MAX);
        let pass = provider.step(Budget { steps: STEPS, until }).await;
        let idle = match &pass {
            Ok(Pass { idle, .. }) => *idle,
            Err(error) => {
                tracing::warn!(error = %error, "a pass ended early");
                true
            }
        };
        if !idle {
            continue;
        }
        provider.keep_warm().await;
        let wait = until_due(provider, poll).await;
        tokio::select! {
            () = stop.cancelled() => {}
            () = provider.poke.notified() => {}
            () = tokio::time::sleep(wait) => {}
        }
    }
}

/// How long nothing is due, at most `poll`.
async fn until_due(provider: &Provider, poll: Duration) -> Duration {
    let due = provider.store.next_due().await.ok().flatten();
    let Some(due) = due else { return poll };
    let wait = due.duration_since(provider.clock.now());
    // A subject that is due and could not be claimed is another worker's, or waits for the chain: no spinning on it.
    Duration::try_from(wait).unwrap_or(Duration::ZERO).max(Duration::from_millis(20)).min(poll)
}

/// Cancelled by SIGTERM or SIGINT.
pub fn stop_on_signal() -> anyhow::Result<CancellationToken> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let stop = CancellationToken::new();
    let cancel = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        cancel.cancel();
    });
    Ok(stop)
}
