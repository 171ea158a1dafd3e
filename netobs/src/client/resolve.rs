//! Addresses outside → their names in DNS, only when asked for, and by the caller: the agent itself never sends a
//! packet for a name.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread,
    time::{Duration, Instant},
};

use crate::{identity::text, report::FlowsDocument};

/// Addresses asked about at most, the busiest flows' first.
const MOST: usize = 256;
/// Questions under way at the same time.
const ABREAST: usize = 16;
/// Longest all of them may take.
const PATIENCE: Duration = Duration::from_secs(3);

/// Gives sides that are outside and have no name the one DNS has for the address: `external/NAME`. What is not answered
/// in time stays as it is.
pub fn resolve(document: &mut FlowsDocument) {
    let mut seen = BTreeSet::new();
    let mut queue = VecDeque::new();
    for flow in &document.flows {
        for side in [&flow.source, &flow.destination] {
            if &*side.endpoint == "external" && queue.len() < MOST && seen.insert(side.address) {
                queue.push_back(side.address);
            }
        }
    }
    let names = names(queue);
    for flow in &mut document.flows {
        for side in [&mut flow.source, &mut flow.destination] {
            if &*side.endpoint == "external"
                && let Some(name) = names.get(&side.address)
            {
                side.endpoint = format!("external/{name}").into();
            }
        }
    }
}

fn names(queue: VecDeque<IpAddr>) -> HashMap<IpAddr, String> {
    let deadline = Instant::now() + PATIENCE;
    let (mut names, mut left) = (HashMap::new(), queue.len());
    let queue = Arc::new(Mutex::new(queue));
    let (tell, told) = mpsc::channel();
    for _ in 0..ABREAST.min(left) {
        let (queue, tell) = (Arc::clone(&queue), tell.clone());
        // Not waited for: a server that does not answer must not keep the table from being shown.
        thread::spawn(move || {
            loop {
                let next = queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
                let Some(address) = next else { return };
                if tell.send((address, name(address))).is_err() {
                    return;
                }
            }
        });
    }
    while left > 0
        && let Ok((address, name)) = told.recv_timeout(deadline.saturating_duration_since(Instant::now()))
    {
        left -= 1;
        names.extend(name.map(|name| (address, name)));
    }
    names
}

/// The name the system's resolver has for an address. Blocking.
fn name(address: IpAddr) -> Option<String> {
    let name = dns_lookup::lookup_addr(&address).ok()?;
    // Without a name the address itself comes back as one.
    (name.parse::<IpAddr>().is_err()).then(|| text::clean(&name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_the_machine_itself_has_a_name() {
        let found = names(VecDeque::from(["127.0.0.1".parse().unwrap()]));
        assert!(
            found.values().all(|name| !name.is_empty() && !name.chars().any(text::is_hostile)),
            "{found:?}"
        );
    }

    #[test]
    fn only_who_is_outside_and_has_no_name_is_asked_about() {
        let mut document = crate::top::made_up::busy().flows;
        for flow in &mut document.flows {
            flow.source.endpoint = "container/web".into();
            flow.destination.endpoint = "external/office".into();
        }
        let before = document.clone();
        resolve(&mut document);
        assert_eq!(document, before);
    }
}
