//! The lines of one container, from where a reader stands.

use std::{fmt::Write as _, time::Duration};

use futures_util::{AsyncBufRead, AsyncBufReadExt as _, Stream, stream};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, api::LogParams};

use super::{super::super::failure::Failure, cursor::Position};

/// The longest line that is passed on, in bytes; the rest of it is left out, and the line says so.
const MAX_LINE: usize = 64 << 10;
/// How long the node may take to begin.
const TIMEOUT: Duration = Duration::from_secs(20);

/// One line, and when it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) at: Timestamp,
    pub(super) text: String,
}

/// Which lines of a container.
#[derive(Debug, Clone, Default)]
pub(super) struct Span {
    pub(super) follow: bool,
    pub(super) previous: bool,
    pub(super) tail: Option<u64>,
    /// What was read already.
    pub(super) after: Option<Position>,
}

/// Opens the log of a pod's container.
pub(super) async fn open(
    pods: &Api<Pod>,
    pod: &str,
    container: &str,
    span: &Span,
) -> Result<impl Stream<Item = std::io::Result<Line>> + Send + Unpin + use<>, Failure> {
    let params = LogParams {
        container: Some(container.to_owned()),
        follow: span.follow,
        previous: span.previous,
        tail_lines: span.tail.map(|lines| i64::try_from(lines).unwrap_or(i64::MAX)),
        // The node compares whole seconds, and the client would round half of them up.
        since_time: span.after.and_then(|position| whole_second(position.at)),
        timestamps: true,
        ..LogParams::default()
    };
    match tokio::time::timeout(TIMEOUT, pods.log_stream(pod, &params)).await {
        Ok(Ok(body)) => Ok(lines(body, span.after)),
        Ok(Err(error)) => Err(Failure::from(error)),
        Err(_) => Err(Failure::Silence(TIMEOUT)),
    }
}

fn whole_second(at: Timestamp) -> Option<Timestamp> {
    Timestamp::from_second(at.as_second()).ok()
}

/// The lines of a body that were not read yet.
fn lines(
    body: impl AsyncBufRead + Send + 'static,
    after: Option<Position>,
) -> impl Stream<Item = std::io::Result<Line>> + Send + Unpin {
    let state = (Box::pin(body), Skip { after, seen: 0 }, Timestamp::UNIX_EPOCH);
    Box::pin(stream::try_unfold(state, |(mut body, mut skip, mut last)| async move {
        while let Some(raw) = next_line(&mut body).await? {
            let line = parse(&raw, last);
            last = line.at;
            if !skip.skips(line.at) {
                return Ok(Some((line, (body, skip, last))));
            }
        }
        Ok(None)
    }))
}

/// Leaves out what was read already: the node gives whole seconds.
struct Skip {
    after: Option<Position>,
    seen: u8,
}

impl Skip {
    fn skips(&mut self, at: Timestamp) -> bool {
        let Some(after) = self.after else { return false };
        if at == after.at && self.seen < after.lines {
            self.seen += 1;
            return true;
        }
        at < after.at
    }
}

/// A raw line without its end, cut at [`MAX_LINE`]; `None` at the end of the body.
async fn next_line(body: &mut (impl AsyncBufRead + Unpin)) -> std::io::Result<Option<Raw>> {
    let mut raw = Raw::default();
    loop {
        let piece = body.fill_buf().await?;
        if piece.is_empty() {
            let is_end = raw.kept.is_empty() && raw.left_out == 0;
            return Ok((!is_end).then_some(raw));
        }
        let end = piece.iter().position(|byte| *byte == b'\n');
        let (content, used) = match end {
            Some(end) => (piece.get(..end).unwrap_or_default(), end + 1),
            None => (piece, piece.len()),
        };
        raw.push(content);
        body.consume_unpin(used);
        if end.is_some() {
            return Ok(Some(raw));
        }
    }
}

#[derive(Debug, Default)]
struct Raw {
    kept: Vec<u8>,
    left_out: usize,
}

impl Raw {
    fn push(&mut self, content: &[u8]) {
        let room = MAX_LINE.saturating_sub(self.kept.len());
        let (kept, left_out) = content.split_at(room.min(content.len()));
        self.kept.extend_from_slice(kept);
        self.left_out += left_out.len();
    }
}

/// `<time> <text>`, as the node writes it.
fn parse(raw: &Raw, last: Timestamp) -> Line {
    let whole = String::from_utf8_lossy(&raw.kept);
    let whole = whole.strip_suffix('\r').unwrap_or(&whole);
    let timed = whole.split_once(' ').unwrap_or((whole, ""));
    let (at, text) = match timed.0.parse() {
        Ok(at) => (at, timed.1),
        // A node that wrote no time; then it is not before the one before.
        Err(_) => (last, whole),
    };
    let mut text = text.to_owned();
    if raw.left_out > 0 {
        // Writing to a text cannot fail.
        let _ = write!(text, "… ({} bytes of this line are left out)", raw.left_out);
    }
    Line { at, text }
}

#[cfg(test)]
mod tests {
    use futures_util::{StreamExt as _, io::Cursor};

    use super::*;

    async fn read(body: &str, after: Option<Position>) -> Vec<(i64, String)> {
        let lines = lines(Cursor::new(body.as_bytes().to_vec()), after);
        lines.map(|line| line.unwrap()).map(|line| (line.at.as_second(), line.text)).collect().await
    }

    const BODY: &str = "2027-01-15T08:00:00.5Z one\n2027-01-15T08:00:00.5Z two\n\
                        2027-01-15T08:00:01Z \n2027-01-15T08:00:02Z a b  c";

    #[tokio::test]
    async fn a_line_is_a_time_and_the_rest_to_its_end() {
        let start = 1_800_000_000;
        let texts = ["one", "two", "", "a b  c"].map(str::to_owned);
        let times = [start, start, start + 1, start + 2];
        assert_eq!(read(BODY, None).await, times.into_iter().zip(texts).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn what_was_read_is_left_out_and_nothing_else() {
        let at: Timestamp = "2027-01-15T08:00:00.5Z".parse().unwrap();
        for (lines, left) in [(1, 3), (2, 2)] {
            assert_eq!(read(BODY, Some(Position { at, lines })).await.len(), left);
        }
    }

    #[tokio::test]
    async fn an_endless_line_is_cut_and_says_so_and_the_next_one_is_whole() {
        let time = "2027-01-15T08:00:00Z ";
        let body = format!("{time}{}\n{time}next\n", "x".repeat(MAX_LINE + 10));
        let read = read(&body, None).await;
        let cut = format!("… ({} bytes of this line are left out)", 10 + time.len());
        assert!(read[0].1.ends_with(&cut), "{}", &read[0].1[MAX_LINE - 100..]);
        assert_eq!(read[1].1, "next");
    }
}
