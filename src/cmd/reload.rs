//! Settings that change while the process runs: the file is read again every second and on SIGHUP.
//!
//! What the use cases are told (policy, prices, streams with their keys, time-outs, hostnames) is put in force at once. The
//! rest was used to put the process together and waits for a restart, which is said. A file that cannot be used changes
//! nothing: what was in force stays, and a condition of `/readyz` says so until the file is good again.
//!
//! The one surprising fact: the file's content is compared and not its time. A mounted configuration changes by swapping
//! links, and some file systems tell time in whole seconds.

use std::{sync::Arc, time::Duration};

use sha2::{Digest, Sha256};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::settings::{Settings, SettingsError};
use crate::provider::{Provider, SettingsFault, policy::Rules};

/// How often the file is read.
const EVERY: Duration = Duration::from_secs(1);

/// Puts in the settings what is not the file's to say.
pub type Fit = Box<dyn Fn(&mut Settings) + Send + Sync>;

/// Watches the settings file of a process.
pub struct Watch {
    started_with: Settings,
    fit: Fit,
    provider: Arc<Provider>,
    hang_up: Signal,
    seen: Option<[u8; 32]>,
}

/// The rules that settings ask for.
#[must_use]
pub fn rules_of(settings: &Settings) -> Rules {
    Rules { policy: settings.policy.clone(), prices: settings.prices.clone() }
}

/// Why settings were not put in force.
enum Untaken {
    /// The file cannot be used until it is changed.
    File(String),
    /// The file may be good; the store did not answer.
    Store(String),
}

impl Watch {
    /// Watches what `settings` were read from. SIGHUP does not end the process from here on.
    ///
    /// # Errors
    /// When the signal cannot be taken.
    pub fn new(
        settings: &Settings,
        provider: Arc<Provider>,
        fit: Fit,
    ) -> Result<Self, std::io::Error> {
        let mut watch = Self {
            started_with: settings.clone(),
            fit,
            provider,
            hang_up: signal(SignalKind::hangup())?,
            seen: None,
        };
        watch.seen = watch.digest();
        Ok(watch)
    }

    /// Until `stop`.
    pub async fn run(mut self, stop: CancellationToken) {
        loop {
            let told = tokio::select! {
                () = stop.cancelled() => return,
                _ = self.hang_up.recv() => true,
                () = tokio::time::sleep(EVERY) => false,
            };
            let digest = self.digest();
            if told || digest != self.seen {
                let is_judged = self.reload().await;
                // What the store did not take is tried again, whether or not somebody touches the file.
                self.seen = digest.filter(|_| is_judged);
            }
        }
    }

    fn digest(&self) -> Option<[u8; 32]> {
        let file = self.started_with.origin.file.as_ref()?;
        let content = std::fs::read(file).ok()?;
        Some(Sha256::digest(&content).into())
    }

    /// Returns whether the file was judged; if not, it is to be read again.
    async fn reload(&self) -> bool {
        let taken = self.put_in_force().await;
        let is_judged = !matches!(taken, Err(Untaken::Store(_)));
        let fault = match taken {
            Ok(waiting) if waiting.is_empty() => {
                tracing::info!("the settings were read again and are in force");
                None
            }
            Ok(waiting) => {
                let message = format!("{} are in force after a restart only", waiting.join(", "));
                tracing::warn!(%message, "the settings were read again");
                Some(SettingsFault { reason: "restart_needed", message })
            }
            Err(Untaken::File(message)) => {
                tracing::error!(%message, "the settings cannot be used; the last good ones stay");
                Some(SettingsFault { reason: "bad_file", message })
            }
            Err(Untaken::Store(message)) => {
                tracing::warn!(%message, "the settings wait for the store; the last good ones stay");
                Some(SettingsFault { reason: "store_unavailable", message })
            }
        };
        self.provider.note_settings(fault);
        is_judged
    }

    /// Returns the sections whose change waits for a restart.
    async fn put_in_force(&self) -> Result<Vec<&'static str>, Untaken> {
        let told = |error: SettingsError| Untaken::File(error.to_string());
        let mut settings = self.started_with.read_again().map_err(told)?;
        (self.fit)(&mut settings);
        let provider = settings.provider().map_err(told)?;
        let rules = rules_of(&settings);
        if let Some(broken) = rules.check().first() {
            let detail = format!("settings: {}: {}", broken.pointer, broken.message);
            return Err(Untaken::File(detail));
        }
        let taken = self.provider.take_rules_of_settings(&rules).await;
        taken.map_err(|error| {
            Untaken::Store(format!("the store did not take the policy: {error}"))
        })?;
        self.provider.replace_settings(provider);
        self.provider.poke.notify_one();
        Ok(self.started_with.fixed_differences(&settings))
    }
}
