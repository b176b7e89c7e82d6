//! Pages: how many rows, and where the next page begins.

use jiff::Timestamp;

use super::{columns::Micros, error::Failure};
use crate::provider::port::Page;

/// The most rows of one page, whatever is asked for.
const MAX_ROWS: u32 = 1_000;

/// How many rows a page is to have, from 1 to 1,000.
#[derive(Clone, Copy)]
pub(super) struct Limit(u32);

/// Where a page begins; the text that callers hand back is this module's alone.
pub(super) struct Cursor;

impl Limit {
    pub(super) fn of(rows: u32) -> Self {
        Self(rows.clamp(1, MAX_ROWS))
    }

    /// One row more than the page has tells whether there is a next page.
    pub(super) fn rows_and_one(self) -> i64 {
        i64::from(self.0) + 1
    }

    pub(super) fn page<R, T: From<R>>(
        self,
        mut rows: Vec<R>,
        cursor: impl Fn(&R) -> String,
    ) -> Page<T> {
        let size = usize::try_from(self.0).unwrap_or(usize::MAX);
        let has_more = rows.len() > size;
        rows.truncate(size);
        let next = if has_more { rows.last().map(cursor) } else { None };
        Page { rows: rows.into_iter().map(T::from).collect(), next }
    }
}

fn refused(after: &str) -> Failure {
    Failure::Cursor(after.chars().take(64).collect())
}

impl Cursor {
    /// Rows below this sequence number; all of them without a cursor.
    pub(super) fn sequence(after: Option<&str>) -> Result<i64, Failure> {
        after.map_or(Ok(i64::MAX), |after| after.parse().map_err(|_| refused(after)))
    }

    /// Rows before this time and id; all of them without a cursor.
    pub(super) fn time_and_id(after: Option<&str>) -> Result<(i64, &str), Failure> {
        let Some(after) = after else { return Ok((i64::MAX, "")) };
        let (time, id) = after.split_once('-').ok_or_else(|| refused(after))?;
        Ok((time.parse().map_err(|_| refused(after))?, id))
    }

    pub(super) fn at(time: Micros, id: &str) -> String {
        let Micros(time) = time;
        format!("{}-{id}", Timestamp::as_microsecond(time))
    }
}
