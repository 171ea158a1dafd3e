//! Real frames whose headers lie in pages, by `lo` of a namespace of our own → the keys they have in one piece.

use anyhow::{Context as _, Result, ensure};
use netobs_common::interface::Interface;
use netobs_tests::{
    netns::Netns,
    packets::samples::{self, Sample},
    paged,
    suite::Case,
};

use super::site::{HOOKS, Site};

pub(crate) fn cases() -> Vec<Case<()>> {
    vec![Case { name: "headers_that_lie_in_pages_are_read_all_the_same", check: headers_in_pages }]
}

fn headers_in_pages(_: &()) -> Result<()> {
    let netns = Netns::new("paged")?;
    let stack = netns.stack();
    let mut site = Site::new(1024)?;
    let mut wanted = 0;
    // A tag in a frame is taken out by the kernel on its way in, and so seen in another place.
    let samples =
        [samples::ipv4_headers(), samples::ipv6_headers(), samples::transports(), samples::control()];
    let mut id = 100;
    stack.within(|| {
        site.kernel.attach(paged::LO, "lo", Interface { id, ..Interface::default() }).map(drop)
    })??;
    for Sample { name, bytes, expected, .. } in samples.into_iter().flatten() {
        let Ok(expected) = expected else { continue };
        if expected.vlans != [0, 0] {
            continue;
        }
        id += 1;
        site.interface(Interface { id, ..Interface::default() })?;
        paged::send_within(&stack, &[paged::lengthened(bytes)]).context(name)?;
        let flows = site.flows(id)?;
        for hook in HOOKS {
            let flow = flows.iter().find(|(key, _)| key.hook == hook);
            let key = flow.map(|(key, _)| {
                (
                    key.source,
                    key.destination,
                    (key.source_port, key.destination_port),
                    key.proto.0,
                    key.network.0,
                )
            });
            let said =
                (expected.source, expected.destination, expected.ports, expected.proto, expected.network);
            ensure!(key == Some(said), "{name} at {}: {flows:?} {:?}", hook.name(), site.skips(id));
            wanted += 1;
        }
    }
    ensure!(wanted > 80, "only {wanted} keys were compared");
    stack.within(|| site.kernel.detach(paged::LO))?;
    Ok(())
}
