//! The public keys of issuers, read from the chain and kept for a while.
//!
//! What is kept is only an accelerator: an account's key never changes once it is there. That there is none is believed
//! for a moment only, since a new tenant's first transaction makes it.
//!
//! The one surprising fact: anyone can write a token with a fresh issuer, and each costs a read of the chain. So reads
//! for issuers that nothing here knows are counted, and tenants with an order here are not held up by strangers.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use jiff::{SignedDuration, Timestamp};

use super::{Refusal, window::Window};
use crate::{
    domain::{Address, Height},
    provider::{
        Provider,
        port::{Account, OrderFilter},
    },
};

/// How long a key is kept.
const KEPT: SignedDuration = SignedDuration::from_mins(10);
/// How long it is believed that there is none.
const ABSENT_KEPT: SignedDuration = SignedDuration::from_secs(2);
/// The most accounts that are kept.
const MAX_ACCOUNTS: usize = 4096;
/// Reads for issuers that nothing here knows, in a minute.
const MAX_STRANGERS: u32 = 120;

/// The issuers' keys.
#[derive(Debug, Default)]
pub struct AccountKeys {
    held: Mutex<HashMap<Address, Held>>,
    strangers: Mutex<Window>,
}

#[derive(Debug, Clone)]
struct Held {
    key: Option<Arc<[u8]>>,
    until: Timestamp,
}

/// A panic elsewhere leaves these maps whole: each change is one call.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl AccountKeys {
    /// The key of `issuer`'s account: 33 bytes, compressed.
    ///
    /// # Errors
    /// [`Refusal::NoKey`], [`Refusal::Busy`], [`Refusal::Chain`].
    pub async fn of(&self, provider: &Provider, issuer: &Address) -> Result<Arc<[u8]>, Refusal> {
        let now = provider.clock.now();
        if let Some(held) = self.held(issuer, now) {
            return held.key.ok_or(Refusal::NoKey);
        }
        if !is_known(provider, issuer).await {
            lock(&self.strangers).take(MAX_STRANGERS, now).map_err(Refusal::Busy)?;
        }
        let account =
            provider.chain.account(issuer, Height(0)).await.map_err(Refusal::Chain)?.value;
        let key = account.and_then(public_key);
        self.keep(issuer, key.clone(), now);
        key.ok_or(Refusal::NoKey)
    }

    fn held(&self, issuer: &Address, now: Timestamp) -> Option<Held> {
        let held = lock(&self.held);
        held.get(issuer).filter(|held| now < held.until).cloned()
    }

    fn keep(&self, issuer: &Address, key: Option<Arc<[u8]>>, now: Timestamp) {
        let kept = if key.is_some() { KEPT } else { ABSENT_KEPT };
        let until = now.saturating_add(kept).unwrap_or(Timestamp::MAX);
        let mut held = lock(&self.held);
        if held.len() >= MAX_ACCOUNTS {
            held.retain(|_, held| now < held.until);
        }
        if held.len() < MAX_ACCOUNTS {
            held.insert(issuer.clone(), Held { key, until });
        }
    }
}

fn public_key(account: Account) -> Option<Arc<[u8]>> {
    account.public_key.map(Arc::from)
}

/// Whether the issuer has an order here. A store that gives no answer makes everyone a stranger.
async fn is_known(provider: &Provider, issuer: &Address) -> bool {
    let filter = OrderFilter { owner: Some(issuer.clone()), ..OrderFilter::default() };
    provider.store.orders(&filter, None, 1).await.is_ok_and(|page| !page.rows.is_empty())
}
