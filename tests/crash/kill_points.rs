//! A clean life lists every place that it passes; then the gateway is killed at each, once before and once after.
//!
//! Places are told apart by the phase of the life, and those that change something also by which time they are passed in
//! it, so that "the first commit after the tenant took the bid" is a place of its own. One life takes one death in each of
//! its phases; each life must end as the clean one did.
//!
//! `CRASH_EVERY=1` kills at every passing of every place that a clean life had (`tests/run --soak`);
//! `CRASH_DEATHS='order: Store.commit after 1; close: Cluster.teardown before 1'` lives one life with these deaths.

use std::{
    collections::{BTreeMap, VecDeque},
    env,
    sync::Mutex,
    time::Instant,
};

use crate::{
    judge::{End, judge},
    life::{Deaths, Lived, PHASES, live},
    points::{COMMIT, Place, Side},
    world::World,
};

/// Lives at once; most of a life is waiting.
const AT_ONCE: usize = 4;
/// A place that was passed in the clean life may not be passed in another, when it depends on who was quicker. So many
/// lives try it.
const TRIES: u32 = 6;
/// The most passings of one place in one phase that are told apart where not every one is.
const TOLD_APART: u64 = 3;
/// Calls that change something outside of the process.
const CHANGES: [&str; 12] = [
    "Store.commit",
    "Store.commit_account",
    "Store.ingest",
    "Store.claim",
    "Store.claim_effects",
    "Store.report_effect",
    "Store.store_manifest",
    COMMIT,
    "Chain.broadcast",
    "Signer.sign",
    "Cluster.apply",
    "Cluster.teardown",
];

/// A death to die, with how often it was tried in vain.
type Wanted = BTreeMap<&'static str, VecDeque<(Place, u32)>>;

#[test]
#[ignore = "minutes: tests/run runs it as \"kill points\""]
fn killed_at_every_point_a_life_ends_the_same() {
    let begun = Instant::now();
    let clean = alone(clean_life());
    if let Ok(deaths) = env::var("CRASH_DEATHS") {
        let killed = alone(one_life(&parse_deaths(&deaths), &clean.end));
        println!("killed at {killed:?}, and the end is the same");
        return;
    }
    let every = env::var("CRASH_EVERY").is_ok();
    let (places, wanted) = deaths_of(&clean.passed, every);
    let total: usize = wanted.values().map(VecDeque::len).sum();
    let work = Work { wanted: Mutex::new(wanted), end: clean.end, done: Mutex::default() };
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| alone(work.live_while_there_are_deaths()));
        }
    });
    let done = work.done.lock().unwrap();
    println!(
        "{places} points in {} phases of a life; {total} kills wanted, {} killed in {} lives, {} points were not passed again, {} s",
        PHASES.len(),
        done.killed,
        done.lives,
        done.missed.len(),
        begun.elapsed().as_secs(),
    );
    for missed in &done.missed {
        println!("not passed again in {TRIES} lives: {missed}");
    }
    assert!(done.killed + done.missed.len() == total, "{} and {total}", done.killed);
    assert!(done.missed.len() * 20 <= total, "more than one in twenty points was not reached");
}

/// Runs on this thread: the lives share nothing.
fn alone<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

struct Clean {
    passed: Vec<String>,
    end: End,
}

async fn clean_life() -> Clean {
    let mut world = World::new("");
    let Lived { passed, killed } = live(&mut world, &Deaths::new()).await;
    assert!(killed.is_empty());
    let end = judge(&world).await;
    Clean { passed, end }
}

/// The places of a clean life, and the deaths that they stand for.
fn deaths_of(passed: &[String], every: bool) -> (usize, Wanted) {
    let mut wanted: Wanted = BTreeMap::new();
    for line in passed {
        let parts: Vec<&str> = line.split(' ').collect();
        let [phase, name, count] = parts[..] else { panic!("{line}") };
        let phase = PHASES.into_iter().find(|known| *known == phase).expect("a phase");
        let count: u64 = count.parse().unwrap();
        let occurrences = match (every, CHANGES.contains(&name)) {
            (true, _) => count,
            (false, true) => count.min(TOLD_APART),
            (false, false) => 1,
        };
        for occurrence in 1..=occurrences {
            // Behind a commit is behind the call that made it, which is a place of its own.
            let sides =
                if name == COMMIT { &[Side::Before][..] } else { &[Side::Before, Side::After] };
            for &side in sides {
                let place = Place { name: name.to_owned(), side, occurrence };
                wanted.entry(phase).or_default().push_back((place, 0));
            }
        }
    }
    (passed.len(), wanted)
}

fn parse_deaths(text: &str) -> Deaths {
    let deaths = text.split(';').map(|death| {
        let (phase, place) = death.split_once(':').expect("phase: place");
        let phase = PHASES.into_iter().find(|known| *known == phase.trim()).expect("a phase");
        (phase, place.parse().unwrap())
    });
    deaths.collect()
}

/// Lives one life with these deaths and returns those that were died.
async fn one_life(deaths: &Deaths, clean: &End) -> Vec<String> {
    let said: Vec<String> =
        deaths.iter().map(|(phase, place)| format!("{phase}: {place}")).collect();
    let mut on_failure = Told(Some(format!("CRASH_DEATHS='{}'", said.join("; "))));
    let mut world = World::new("");
    let lived = live(&mut world, deaths).await;
    let end = judge(&world).await;
    assert_eq!(end, *clean, "another end");
    on_failure.0 = None;
    lived.killed
}

/// Says how to live a life again that failed.
struct Told(Option<String>);

impl Drop for Told {
    fn drop(&mut self) {
        if let Some(said) = &self.0 {
            eprintln!("failed: {said}");
        }
    }
}

struct Work {
    wanted: Mutex<Wanted>,
    end: End,
    done: Mutex<Done>,
}

#[derive(Default)]
struct Done {
    lives: usize,
    killed: usize,
    missed: Vec<String>,
}

impl Work {
    /// One death a phase, while there are any.
    fn next(&self) -> BTreeMap<&'static str, (Place, u32)> {
        let mut wanted = self.wanted.lock().unwrap();
        wanted
            .iter_mut()
            .filter_map(|(phase, places)| Some((*phase, places.pop_front()?)))
            .collect()
    }

    async fn live_while_there_are_deaths(&self) {
        loop {
            let next = self.next();
            if next.is_empty() {
                return;
            }
            let deaths: Deaths =
                next.iter().map(|(phase, (place, _))| (*phase, place.clone())).collect();
            let killed = one_life(&deaths, &self.end).await;
            self.account_for(next, &killed);
        }
    }

    fn account_for(&self, lived: BTreeMap<&'static str, (Place, u32)>, killed: &[String]) {
        let mut done = self.done.lock().unwrap();
        done.lives += 1;
        if done.lives.is_multiple_of(10) {
            println!("{} lives, {} kills", done.lives, done.killed);
        }
        for (phase, (place, tries)) in lived {
            let said = format!("{phase} {place}");
            if killed.contains(&said) {
                done.killed += 1;
                continue;
            }
            if tries + 1 == TRIES {
                done.missed.push(said);
            } else {
                self.wanted.lock().unwrap().entry(phase).or_default().push_back((place, tries + 1));
            }
        }
    }
}
