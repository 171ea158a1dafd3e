//! Keys, documents, time and signals → events; the state → the terminal.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use jiff::Timestamp;
use ratatui::crossterm::{event, terminal::disable_raw_mode};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::{oneshot, watch},
};

use super::{
    input::Update,
    state::{Event, State},
    terminal::{self, Screen},
    view,
};
use crate::table::Look;

/// How long new documents, a hang-up or a signal may wait to be noticed.
const PATIENCE: Duration = Duration::from_millis(100);

/// How often time goes on where nothing else happens.
const TICK: Duration = Duration::from_secs(1);

/// Most keys and sizes taken in before the next picture: a held key must not stop the drawing.
const BURST: usize = 256;

/// How long a terminal that takes no output may delay the end.
const FAREWELL: Duration = Duration::from_secs(2);

/// Shows what `feed` brings until the user leaves, the terminal goes away or SIGTERM, SIGINT or SIGHUP comes.
///
/// The view has threads of its own: a terminal that blocks must not stop an agent in the same process. The
/// process is expected to end soon after: the keyboard's thread spins inside `crossterm` on a closed terminal.
///
/// # Errors
/// Where there is no terminal, or it fails; the terminal is as it was before in every case.
pub async fn run(feed: watch::Receiver<Update>) -> anyhow::Result<()> {
    terminal::require()?;
    let mut terminate = signal(SignalKind::terminate()).context("SIGTERM cannot be waited for")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("SIGINT cannot be waited for")?;
    let mut hang_up = signal(SignalKind::hangup()).context("SIGHUP cannot be waited for")?;

    let stop = StopOnDrop(Arc::new(AtomicBool::new(false)));
    let seen = Arc::clone(&stop.0);
    let (over, mut outcome) = oneshot::channel();
    std::thread::Builder::new()
        .name("top".to_owned())
        .spawn(move || {
            // Nobody waits for the outcome where `run` itself was given up.
            drop(over.send(show(feed, &seen)));
        })
        .context("no thread for the view")?;

    tokio::select! {
        shown = &mut outcome => return told(shown),
        _ = terminate.recv() => (),
        _ = interrupt.recv() => (),
        _ = hang_up.recv() => (),
    }
    stop.0.store(true, Ordering::SeqCst);
    match tokio::time::timeout(FAREWELL, outcome).await {
        Ok(shown) => told(shown),
        Err(_) => {
            disable_raw_mode().context("the terminal is stuck")?;
            bail!("the terminal takes no output; `reset` repairs its picture")
        }
    }
}

/// Ends the view's threads however `run` ends.
struct StopOnDrop(Arc<AtomicBool>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

fn told(outcome: Result<anyhow::Result<()>, oneshot::error::RecvError>) -> anyhow::Result<()> {
    // The thread dropped its end without a word: it panicked, and the hook printed where.
    outcome.unwrap_or_else(|_| bail!("the view failed; the message above says where"))
}

/// The view's own thread.
fn show(mut feed: watch::Receiver<Update>, stop: &Arc<AtomicBool>) -> anyhow::Result<()> {
    let mut screen = Screen::take(stop)?;
    let keys = read_keys(Arc::clone(stop))?;
    let size = screen.terminal.size().context("the terminal does not know its size")?;
    let mut state = State::new(Look::stdout(), (size.width, size.height), Timestamp::now());
    state.apply(Event::Update(feed.borrow_and_update().clone()));
    let mut lost = false;
    let mut ticked = Instant::now();
    let mut changed = true;
    while !stop.load(Ordering::SeqCst) && !state.is_done() {
        if terminal::is_hung_up() {
            return Ok(());
        }
        if changed {
            screen.terminal.draw(|frame| view(&state, frame)).context("the terminal takes no output")?;
        }
        changed = match take_keys(&mut state, &keys) {
            Keys::Taken => true,
            Keys::None => false,
            // They are read no more because of `stop`, or for a reason of their own.
            Keys::Over if stop.load(Ordering::SeqCst) || terminal::is_hung_up() => break,
            Keys::Over => bail!("the keyboard cannot be read any more"),
        };
        if ticked.elapsed() >= TICK {
            ticked = Instant::now();
            state.apply(Event::Tick(Timestamp::now()));
            changed = true;
        }
        if lost {
            continue;
        }
        match feed.has_changed() {
            Ok(false) => continue,
            Ok(true) => {
                state.apply(Event::Tick(Timestamp::now()));
                state.apply(Event::Update(feed.borrow_and_update().clone()));
            }
            Err(_) => {
                lost = true;
                state.apply(Event::Update(feed.borrow_and_update().clone()));
                state.apply(Event::Update(Update::Trouble("the agent is gone".into())));
            }
        }
        changed = true;
    }
    if screen.was_given_back() {
        bail!("a part of netobs failed; the message above says where");
    }
    Ok(())
}

/// What came from the keyboard.
enum Keys {
    Taken,
    None,
    Over,
}

/// Waits for a key or a new size, and takes in what came with it.
fn take_keys(state: &mut State, keys: &mpsc::Receiver<Event>) -> Keys {
    match keys.recv_timeout(PATIENCE) {
        Ok(event) => state.apply(event),
        Err(mpsc::RecvTimeoutError::Timeout) => return Keys::None,
        Err(mpsc::RecvTimeoutError::Disconnected) => return Keys::Over,
    }
    for event in keys.try_iter().take(BURST) {
        state.apply(event);
    }
    Keys::Taken
}

/// Keys and sizes, from a thread of their own: `crossterm` blocks inside an unfinished escape sequence and
/// spins on a closed terminal, and neither may stop the drawing or the end.
fn read_keys(stop: Arc<AtomicBool>) -> anyhow::Result<mpsc::Receiver<Event>> {
    let (events, keys) = mpsc::sync_channel(BURST);
    std::thread::Builder::new()
        .name("top-keys".to_owned())
        .spawn(move || {
            while !stop.load(Ordering::SeqCst) {
                let got = match event::poll(PATIENCE) {
                    Ok(false) => continue,
                    Ok(true) => event::read(),
                    Err(error) => Err(error),
                };
                let event = match got {
                    Ok(event::Event::Key(key)) => Event::Key(key),
                    Ok(event::Event::Resize(columns, rows)) => Event::Resize(columns, rows),
                    Ok(_) => continue,
                    Err(_) => return,
                };
                if events.send(event).is_err() {
                    return;
                }
            }
        })
        .context("no thread for the keyboard")?;
    Ok(keys)
}
