//! The command line: one file a command. The only layer that knows every adapter and puts them together.

pub mod certificate;
pub mod dev;
pub mod devnet;
pub mod doctor;
pub mod host;
pub mod key;
pub mod migrate;
pub mod openapi;
pub mod operator;
pub mod output;
pub mod parts;
pub mod provider;
pub mod relay;
pub mod reload;
pub mod sdl;
pub mod serve;
pub mod settings;
pub mod signer;
pub mod step;
pub mod store;
pub mod tenant;
pub mod webhook;

use std::{ffi::OsString, path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};

/// An Akash provider as a serverless-style, HTTP-first gateway.
#[derive(Debug, Parser)]
#[command(
    name = "lessor",
    version,
    about,
    propagate_version = true,
    after_help = "Exit: 0 done, 1 refused or failed, 64 the command line is wrong; `tenant deploy` also 2: no bid in time; \
                  `sdl` also 2: unreadable; `provider` and `certificate` also 2: node or signer gave no answer."
)]
pub struct Lessor {
    /// Settings beside the compiled-in ones; `lessor settings` prints those.
    #[arg(long, global = true, env = "LESSOR_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start everything in one process: a development chain, an indexer, the provider and a simulated cluster.
    Dev(dev::Args),
    /// Start the development world alone: a market ledger behind a node's RPC, and a simulated cluster.
    Devnet(devnet::Args),
    /// Follow a node and push its events as signed webhooks.
    Relay(relay::RelayArgs),
    /// Serve HTTP and work off what is due.
    Serve(serve::Args),
    /// Work off what is due, once, and exit.
    Step(step::Args),
    /// Say what keeps the provider from its work, and what to do about it. Exit 1: work stands still.
    Doctor(doctor::Args),
    /// Bring the store up to date.
    Migrate,
    /// Back the store up, put a backup back, or check it.
    Store(store::Args),
    /// The account's registration as a provider: register, update, show.
    Provider(provider::Args),
    /// The account's certificates for mutual TLS: publish, show, revoke.
    Certificate(certificate::Args),
    /// Show whose a key is; keep it encrypted.
    Key(key::Args),
    /// Hold the account's key in a process of its own, and sign over a Unix socket what a policy allows.
    Signer(signer::Args),
    /// Print the OpenAPI document.
    Openapi(openapi::Args),
    /// Print every setting with its default and meaning.
    Settings,
    /// Sign, send or verify a webhook delivery.
    Webhook(webhook::WebhookArgs),
    /// Check SDL documents; print their groups, manifests and hashes.
    Sdl(sdl::Args),
    /// The tenant's side: deploy, update, watch and close.
    Tenant(tenant::Args),
}

/// The exit code of a command line that makes no sense: 2, which the parser would take, already says that nobody bid.
const USAGE: u8 = 64;

/// Reads a command line and runs it.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    match Lessor::try_parse_from(arguments) {
        Ok(lessor) => run(lessor),
        Err(asked) => {
            // Help and version come this way too. Whoever reads may have gone.
            let _ = asked.print();
            if asked.use_stderr() { ExitCode::from(USAGE) } else { ExitCode::SUCCESS }
        }
    }
}

/// Runs a command. Errors are printed with their whole chain.
#[must_use]
pub fn run(lessor: Lessor) -> ExitCode {
    // One TLS provider for the whole process; a second install would only say that there is one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            output::complain(format_args!("start the runtime: {error}"));
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(dispatch(lessor)) {
        Ok(code) => code,
        Err(error) if error.is::<output::Closed>() => ExitCode::SUCCESS,
        Err(error) => {
            output::complain(output::said(&error));
            ExitCode::FAILURE
        }
    }
}

async fn dispatch(lessor: Lessor) -> anyhow::Result<ExitCode> {
    let config = lessor.config.as_deref();
    match lessor.command {
        Command::Dev(args) => dev::run(args, config).await,
        Command::Devnet(args) => devnet::run(args).await,
        Command::Relay(args) => {
            relay::run(args, serve::stop_on_signal()?).await?;
            Ok(ExitCode::SUCCESS)
        }
        // Much is put together in it, and no other command is to carry its size.
        Command::Serve(args) => Box::pin(serve::run(args, config)).await,
        Command::Step(args) => step::run(args, config).await,
        Command::Doctor(args) => doctor::run(args, config).await,
        Command::Migrate => migrate::run(config).await,
        Command::Store(args) => store::run(args, config).await,
        Command::Provider(args) => provider::run(args, config).await,
        Command::Certificate(args) => certificate::run(args, config).await,
        Command::Key(args) => key::run(args, config).await,
        Command::Signer(args) => signer::run(args, config).await,
        Command::Openapi(args) => openapi::run(&args),
        Command::Settings => {
            output::text(settings::DEFAULTS)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Webhook(args) => {
            webhook::run(args).await?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Sdl(args) => sdl::run(&args),
        Command::Tenant(args) => tenant::run(args).await,
    }
}
