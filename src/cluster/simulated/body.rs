//! Reads what the cluster answers, whole or line by line, never more than is allowed.

use std::{pin::Pin, time::Duration};

use bytes::{Buf as _, Bytes, BytesMut};
use futures_util::stream::{self, Stream, StreamExt as _};
use reqwest::Response;
use serde::de::DeserializeOwned;

use super::{no_answer, unreachable_cluster};
use crate::provider::port::{ClusterError, ClusterErrorKind};

/// The largest whole answer: an inventory of a thousand nodes is a tenth of it.
const MAX_ANSWER_BYTES: usize = 16 << 20;

/// The longest line.
const MAX_LINE_BYTES: usize = 256 << 10;

/// The whole answer, as JSON.
pub(super) async fn json<T: DeserializeOwned>(
    doing: &'static str,
    mut response: Response,
) -> Result<T, ClusterError> {
    let mut body = BytesMut::new();
    while let Some(chunk) =
        response.chunk().await.map_err(|error| unreachable_cluster(doing, error))?
    {
        body.extend_from_slice(&chunk);
        if body.len() > MAX_ANSWER_BYTES {
            return Err(unusable(doing, &format!("longer than {MAX_ANSWER_BYTES} bytes")));
        }
    }
    serde_json::from_slice(&body).map_err(|error| unusable(doing, &error.to_string()))
}

/// Each line of the answer, as JSON; empty lines only show that the cluster is there. The last item is an error when
/// the connection broke, or was silent for too long.
pub(super) fn lines<T: DeserializeOwned + Send + 'static>(
    doing: &'static str,
    response: Response,
    silence: Duration,
) -> impl Stream<Item = Result<T, ClusterError>> + Send + 'static {
    let lines =
        Lines { doing, silence, chunks: Box::pin(response.bytes_stream()), rest: BytesMut::new() };
    stream::unfold(Some(lines), |lines| async {
        let mut lines = lines?;
        match lines.next().await {
            Ok(Some(line)) => match serde_json::from_slice(&line) {
                Ok(item) => Some((Ok(item), Some(lines))),
                Err(error) => Some((Err(unusable(lines.doing, &error.to_string())), None)),
            },
            Ok(None) => None,
            Err(error) => Some((Err(error), None)),
        }
    })
}

struct Lines {
    doing: &'static str,
    silence: Duration,
    chunks: Pin<Box<dyn Stream<Item = Result<Bytes, reqwest::Error>> + Send>>,
    /// What came and is not yet a whole line.
    rest: BytesMut,
}

impl Lines {
    /// The next line that is not empty, or `None` at the end.
    async fn next(&mut self) -> Result<Option<Bytes>, ClusterError> {
        loop {
            while let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
                let line = self.rest.split_to(end).freeze();
                self.rest.advance(1);
                if !line.is_empty() {
                    return Ok(Some(line));
                }
            }
            if self.rest.len() > MAX_LINE_BYTES {
                let detail = format!("a line is longer than {MAX_LINE_BYTES} bytes");
                return Err(unusable(self.doing, &detail));
            }
            match tokio::time::timeout(self.silence, self.chunks.next()).await {
                Ok(Some(Ok(chunk))) => self.rest.extend_from_slice(&chunk),
                Ok(Some(Err(error))) => return Err(unreachable_cluster(self.doing, error)),
                Ok(None) => return Ok(None),
                Err(_) => return Err(no_answer(self.doing, self.silence)),
            }
        }
    }
}

fn unusable(doing: &'static str, detail: &str) -> ClusterError {
    let detail = format!("the answer is of no use: {detail}");
    ClusterError { doing, detail, kind: ClusterErrorKind::Unavailable }
}

#[cfg(test)]
mod tests {
    use reqwest::Body;
    use serde_json::Value;

    use super::*;

    const SILENCE: Duration = Duration::from_millis(20);

    /// The items of an answer that comes in these pieces and then `stays` open without a word.
    async fn items(pieces: &[&'static str], stays: bool) -> Vec<Result<Value, ClusterError>> {
        let pieces: Vec<_> = pieces.iter().map(|piece| Ok::<_, ClusterError>(*piece)).collect();
        let pieces = stream::iter(pieces);
        let body = if stays {
            Body::wrap_stream(pieces.chain(stream::pending()))
        } else {
            Body::wrap_stream(pieces)
        };
        lines("read", http::Response::new(body).into(), SILENCE).collect().await
    }

    #[tokio::test]
    async fn lines_are_found_wherever_the_pieces_are_cut() {
        let items = items(&["1\n", "\n2", "3\n4", "\n\n\n[", "]\n"], false).await;
        let numbers: Vec<String> = items.iter().flatten().map(Value::to_string).collect();
        assert_eq!(numbers, ["1", "23", "4", "[]"]);
        assert_eq!(items.len(), 4);
    }

    #[tokio::test]
    async fn silence_garbage_and_endless_lines_end_with_an_error() {
        let silent = items(&["1\n"], true).await;
        assert_eq!(silent.len(), 2);
        assert_eq!(silent[1].as_ref().unwrap_err().detail, "no answer within 20 ms");
        let garbage = items(&["1\nno json\n2\n"], false).await;
        assert_eq!(garbage.len(), 2, "what follows garbage is not read");
        assert_eq!(garbage[1].as_ref().unwrap_err().kind, ClusterErrorKind::Unavailable);
        let long: &'static str = "x".repeat(MAX_LINE_BYTES + 1).leak();
        let endless = items(&[long, "\n1\n"], false).await;
        assert!(endless[0].as_ref().unwrap_err().detail.contains("longer than 262144 bytes"));
        assert_eq!(endless.len(), 1);
    }
}
