//! How much each address has asked of what is open to everyone, in this process: nobody uses up what another has.
//!
//! The surprising fact: an address of version 6 counts by its first half, since whoever has one has all that share it.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use axum::extract::ConnectInfo;
use http::{Extensions, HeaderMap};
use jiff::Timestamp;

use super::auth::window::Window;

/// The most addresses that are counted one by one; all others share one count.
const MAX_ADDRESSES: usize = 4096;
/// Those who have no count of their own.
const OTHERS: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

/// A count for each address.
#[derive(Debug)]
pub(super) struct Callers {
    most: u32,
    windows: Mutex<HashMap<IpAddr, Window>>,
}

impl Callers {
    /// Each address has `most` requests a minute.
    pub(super) fn new(most: u32) -> Self {
        Self { most, windows: Mutex::default() }
    }

    /// Takes one request of `address`, or says how long there is none.
    pub(super) fn take(&self, address: IpAddr, now: Timestamp) -> Result<(), Duration> {
        self.window(address, now, |window| window.take(self.most, now))
    }

    /// Whether `address` has one left; if not, how long there is none.
    pub(super) fn check(&self, address: IpAddr, now: Timestamp) -> Result<(), Duration> {
        self.window(address, now, |window| window.check(self.most, now))
    }

    fn window<T>(&self, address: IpAddr, now: Timestamp, of: impl FnOnce(&mut Window) -> T) -> T {
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        let mut key = shared(address);
        if windows.len() >= MAX_ADDRESSES && !windows.contains_key(&key) {
            windows.retain(|_, window| !window.is_over(now));
            if windows.len() >= MAX_ADDRESSES {
                key = OTHERS;
            }
        }
        of(windows.entry(key).or_default())
    }
}

/// What counts as one caller.
fn shared(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let prefix = address.to_bits() >> 64 << 64;
            Ipv6Addr::from_bits(prefix).into()
        }
        address @ IpAddr::V4(_) => address,
    }
}

/// Who sent a request: whoever connected, or whom the proxy in front names last.
pub(super) fn address(extensions: &Extensions, headers: &HeaderMap, behind_proxy: bool) -> IpAddr {
    let forwarded = || {
        let last = headers.get_all("x-forwarded-for").iter().next_back()?.to_str().ok()?;
        last.rsplit(',').next()?.trim().parse().ok()
    };
    let connected = || {
        let ConnectInfo(peer) = extensions.get::<ConnectInfo<SocketAddr>>()?;
        Some(peer.ip())
    };
    behind_proxy.then(forwarded).flatten().or_else(connected).unwrap_or(OTHERS)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: u32 = 120;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn one_address_does_not_use_up_what_another_has() {
        let callers = Callers::new(MOST);
        let (one, other): (IpAddr, IpAddr) =
            ("192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap());
        for _ in 0..MOST {
            assert_eq!(callers.take(one, at(1000)), Ok(()));
        }
        assert_eq!(callers.take(one, at(1010)), Err(Duration::from_secs(50)));
        assert_eq!(callers.take("::ffff:192.0.2.1".parse().unwrap(), at(1010)).ok(), None);
        assert_eq!(callers.take(other, at(1010)), Ok(()));
        assert_eq!(callers.take(one, at(1060)), Ok(()));
    }

    #[test]
    fn addresses_with_the_same_first_half_are_one_caller_and_memory_has_an_end() {
        let callers = Callers::new(MOST);
        for last in 0..MOST {
            let address = format!("2001:db8::{last:x}").parse().unwrap();
            assert_eq!(callers.take(address, at(1000)), Ok(()));
        }
        assert!(callers.take("2001:db8::ffff".parse().unwrap(), at(1000)).is_err());
        for number in 0..2 * MAX_ADDRESSES {
            let address = Ipv4Addr::from_bits(u32::try_from(number).unwrap() + (1 << 24));
            let _ = callers.take(address.into(), at(1000));
        }
        assert!(callers.windows.lock().unwrap().len() <= MAX_ADDRESSES + 1);
    }

    #[test]
    fn a_proxy_is_believed_only_where_there_is_one_and_only_its_own_entry() {
        let mut headers = HeaderMap::new();
        headers.insert("x-forwarded-for", "203.0.113.9, 198.51.100.7".parse().unwrap());
        let mut extensions = Extensions::new();
        extensions.insert(ConnectInfo(SocketAddr::from(([192, 0, 2, 1], 4000))));
        let found = |behind_proxy| address(&extensions, &headers, behind_proxy).to_string();
        assert_eq!((found(true).as_str(), found(false).as_str()), ("198.51.100.7", "192.0.2.1"));
        assert_eq!(address(&Extensions::new(), &HeaderMap::new(), true), OTHERS);
    }
}
