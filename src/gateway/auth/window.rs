//! So many of something in a minute, counted in this process.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

/// How long a window is.
const LENGTH: SignedDuration = SignedDuration::from_secs(60);

/// What was counted in the present window.
#[derive(Debug, Default)]
pub(in crate::gateway) struct Window {
    since: Option<Timestamp>,
    count: u32,
}

impl Window {
    /// Whether nothing of it counts any more.
    pub(in crate::gateway) fn is_over(&self, now: Timestamp) -> bool {
        self.since.is_none_or(|since| now.duration_since(since) >= LENGTH)
    }

    /// Whether one more may be taken; if not, when the window is over.
    pub(in crate::gateway) fn check(&mut self, most: u32, now: Timestamp) -> Result<(), Duration> {
        let passed = self.since.map_or(LENGTH, |since| now.duration_since(since));
        if passed >= LENGTH || passed.is_negative() {
            *self = Self { since: Some(now), count: 0 };
        }
        if self.count < most {
            return Ok(());
        }
        let left = LENGTH.saturating_sub(passed);
        Err(Duration::try_from(left).unwrap_or(Duration::from_secs(1)))
    }

    /// Takes one, or says how long there is none.
    pub(in crate::gateway) fn take(&mut self, most: u32, now: Timestamp) -> Result<(), Duration> {
        self.check(most, now)?;
        self.count += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_has_a_number_of_takes_and_gives_them_again_when_it_is_over() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let mut window = Window::default();
        for _ in 0..120 {
            assert_eq!(window.take(120, at(1000)), Ok(()));
        }
        assert_eq!(window.check(120, at(1010)), Err(Duration::from_secs(50)));
        assert_eq!(window.take(120, at(1010)), Err(Duration::from_secs(50)));
        assert_eq!(window.take(120, at(1060)), Ok(()));
    }
}
