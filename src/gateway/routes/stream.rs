//! The live stream of an operator's page: every panel, each when it changed.

use std::{collections::VecDeque, convert::Infallible, sync::Arc, time::Duration};

use axum::{
    Extension,
    response::{
        Response,
        sse::{Event, Sse},
    },
};
use futures_util::stream;
use http::HeaderMap;
use serde::Deserialize;
use tokio::{
    sync::OwnedSemaphorePermit,
    time::{Instant, Interval, MissedTickBehavior},
};
use utoipa::IntoParams;

use crate::gateway::{
    State,
    auth::{
        guard::Operator,
        session::{self, Ticket},
    },
    board::{Panel, Position},
    extract::Query,
    problem::{Code, Problem},
    sse,
};

/// How often it is looked for changes.
const LOOK: Duration = Duration::from_millis(500);
/// When a reader that was cut off comes back.
const RETRY: Duration = Duration::from_secs(2);
/// When a refused reader may ask again.
const FULL: Duration = Duration::from_secs(10);

/// How long to read.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct StreamQuery {
    /// Go on with what changes. True when not given; otherwise the stream ends after what is new now.
    follow: Option<bool>,
}

/// Follow everything that a page shows.
///
/// Server-sent events. The name of an event is its panel, its data the very body of the panel's route: `overview`
/// (`/v1/overview`), `streams` (`/v1/streams`), `funnel` (`/v1/funnel`, one event for each window; the body says which), `orders`
/// (`/v1/orders`), `leases` (`/v1/leases?state=open`), `inventory` (`/v1/inventory`), `deadlines` (`/v1/deadlines`), `stuck`
/// (`/v1/stuck`), `maintenance` (`/v1/maintenance`), each otherwise without parameters. First every panel is sent, then each when it changed, at most twice a second. An event's id says what the
/// reader has seen: who brings it back as `last-event-id` is sent exactly the panels that differ from it. After 15 seconds
/// without any, an event `heartbeat` comes. Its data names the events whose bodies cannot be made now (`{"missing": ["leases"]}`):
/// what was sent of them before is old. It comes at once when these change. The stream ends with the process and with the session; without a login there is none, and
/// `/v1/overview` may be polled instead.
#[utoipa::path(
    get,
    path = "/v1/stream",
    tag = "operator",
    operation_id = "followPage",
    params(
        ("last-event-id" = Option<String>, Header, description = "The last event's id.", max_length = 512),
        StreamQuery,
    ),
    responses((status = 200, description = "Panels as they change.", body = String, content_type = "text/event-stream")),
    security(("operator" = [])),
    extensions(("x-problems" = json!([
        "malformed_query", "too_many_readers", "store_unavailable",
    ]))),
)]
pub async fn follow(
    state: State,
    _: Operator,
    Query(query): Query<StreamQuery>,
    ticket: Option<Extension<Arc<Ticket>>>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let last = sse::last_event_id(&headers)?;
    let Ok(permit) = state.board.readers.clone().try_acquire_owned() else {
        return Err(Problem::new(Code::TooManyReaders).retry_after(FULL));
    };
    let mut looks = tokio::time::interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let reader = Reader {
        state,
        headers,
        // Whoever came by token has no session that could end.
        ticket: ticket.map(|Extension(ticket)| ticket),
        sessions: None,
        missing: Vec::new(),
        position: last.map_or_else(Position::start, |id| Position::read(&id)),
        waiting: VecDeque::from([Event::default().retry(RETRY).comment("lessor")]),
        looks,
        spoke: Instant::now(),
        goes_on: query.follow.unwrap_or(true),
        ended: false,
        _permit: permit,
    };
    let events = stream::unfold(reader, |mut reader| async {
        let event = reader.next().await?;
        Some((Ok::<Event, Infallible>(event), reader))
    });
    Ok(sse::headers(Sse::new(events)))
}

/// Someone who follows.
struct Reader {
    state: State,
    headers: HeaderMap,
    ticket: Option<Arc<Ticket>>,
    /// How often sessions had changed when this reader's was looked at last.
    sessions: Option<u64>,
    position: Position,
    /// The names of panels that could not be made at the last look.
    missing: Vec<&'static str>,
    waiting: VecDeque<Event>,
    looks: Interval,
    /// When something was sent last.
    spoke: Instant,
    goes_on: bool,
    ended: bool,
    _permit: OwnedSemaphorePermit,
}

impl Reader {
    /// The next event; `None` at the end.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.waiting.pop_front() {
                self.spoke = Instant::now();
                return Some(event);
            }
            if self.ended {
                return None;
            }
            let shutdown = self.state.shutdown.clone();
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return None,
                _ = self.looks.tick() => self.look().await,
            }
            if self.waiting.is_empty() && !self.ended && self.spoke.elapsed() >= sse::HEARTBEAT {
                self.spoke = Instant::now();
                return Some(self.beat());
            }
        }
    }

    async fn look(&mut self) {
        let look = self.state.board.look(&self.state, &Panel::ALL).await;
        if !self.may_read(look.sessions).await {
            self.ended = true;
            return;
        }
        for shown in look.shown {
            if self.position.pass(&shown) {
                let event = Event::default().event(shown.panel.event()).id(self.position.id());
                self.waiting.push_back(event.data(&*shown.body));
            }
        }
        let mut missing: Vec<&str> = look.missing.iter().map(|panel| panel.event()).collect();
        missing.dedup();
        if missing != self.missing {
            self.missing = missing;
            self.waiting.push_back(self.beat());
        }
        self.ended = !self.goes_on;
    }

    /// A sign of life, and what is not to be had now.
    fn beat(&self) -> Event {
        let data = serde_json::json!({ "missing": self.missing }).to_string();
        Event::default().event("heartbeat").id(self.position.id()).data(data)
    }

    /// Whether the session still counts; it is read again only when sessions changed.
    async fn may_read(&mut self, sessions: Option<u64>) -> bool {
        let Some(ticket) = &self.ticket else { return true };
        if self.state.provider.clock.now() >= ticket.session().expires_at {
            return false;
        }
        if sessions.is_none() || sessions == self.sessions {
            return true;
        }
        self.sessions = sessions;
        // A store that gives no answer says nothing about the session.
        !matches!(
            session::of(&self.state, &self.headers).await,
            Ok(None) | Err(crate::gateway::auth::Refusal::Session)
        )
    }
}
