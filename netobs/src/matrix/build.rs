//! Pairs and flows → cells, each summed up. The verdicts are those that the pairs have: none is judged here. Pure.

use std::collections::{BTreeMap, btree_map::Entry};

use jiff::Timestamp;

use super::document::{CellEvidence, MatrixCell, MatrixDocument};
use crate::report::{Evidence, EvidenceKind, FlowRow, Head, PairDrops, PairLabels, PairRow};

/// The matrix of these pairs, and of the flows between them.
#[must_use]
pub fn build<'r>(
    head: Head,
    pairs: impl IntoIterator<Item = &'r PairRow>,
    flows: impl IntoIterator<Item = &'r FlowRow>,
) -> MatrixDocument {
    let mut cells = BTreeMap::new();
    for pair in pairs {
        let cell = cell(&mut cells, pair.labels, pair.last_seen);
        *cell.counted.verdicts.entry(pair.verdict).or_default() += 1;
        if let Some(drops) = &pair.dropped {
            cell.observed(0, &of_drops(drops));
        }
    }
    for flow in flows {
        let cell = cell(&mut cells, flow.pair_labels(), flow.last_seen);
        cell.counted.flows += 1;
        cell.counted.bytes += flow.forward.bytes + flow.reply.bytes;
        // One kind may be told twice of a flow, of each direction.
        let mut told = 0_u16;
        for evidence in &flow.evidence {
            let bit = 1 << evidence.kind as u16;
            cell.observed(u64::from(told & bit == 0), evidence);
            told |= bit;
        }
    }
    MatrixDocument { head, cells: cells.into_values().map(Cell::summed).collect() }
}

/// A cell under way.
struct Cell {
    counted: MatrixCell,
    evidence: BTreeMap<EvidenceKind, CellEvidence>,
}

fn cell(cells: &mut BTreeMap<PairLabels, Cell>, labels: PairLabels, seen: Timestamp) -> &mut Cell {
    let cell = cells.entry(labels).or_insert_with(|| Cell {
        counted: MatrixCell {
            source_kind: labels.source_kind,
            destination_kind: labels.destination_kind,
            path: labels.path,
            verdicts: BTreeMap::new(),
            flows: 0,
            bytes: 0,
            evidence: Vec::new(),
            last_seen: seen,
        },
        evidence: BTreeMap::new(),
    });
    cell.counted.last_seen = cell.counted.last_seen.max(seen);
    cell
}

impl Cell {
    /// One more fact, and in how many flows more than before.
    fn observed(&mut self, flows: u64, one: &Evidence) {
        match self.evidence.entry(one.kind) {
            Entry::Vacant(place) => {
                place.insert(CellEvidence {
                    kind: one.kind,
                    flows,
                    count: one.count,
                    first_seen: one.first_seen,
                    last_seen: one.last_seen,
                    hop: one.hop.clone(),
                    detail: one.detail.clone(),
                });
            }
            Entry::Occupied(known) => {
                let known = known.into_mut();
                known.flows += flows;
                known.count += one.count;
                known.first_seen = known.first_seen.min(one.first_seen);
                known.last_seen = known.last_seen.max(one.last_seen);
                known.hop = known.hop.take().filter(|hop| Some(hop) == one.hop.as_ref());
                known.detail = known.detail.take().filter(|detail| Some(detail) == one.detail.as_ref());
            }
        }
    }

    fn summed(self) -> MatrixCell {
        MatrixCell { evidence: self.evidence.into_values().collect(), ..self.counted }
    }
}

/// They came by no hook.
fn of_drops(drops: &PairDrops) -> Evidence {
    Evidence {
        kind: EvidenceKind::Drop,
        count: drops.packets,
        first_seen: drops.first_seen,
        last_seen: drops.last_seen,
        hop: None,
        detail: drops.reason.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::made_up, *};
    use crate::report::{KindName, Path, Verdict};

    fn cell(
        document: &MatrixDocument,
        source_kind: KindName,
        destination_kind: KindName,
        path: Path,
    ) -> MatrixCell {
        let is_it = |cell: &&MatrixCell| {
            (cell.source_kind, cell.destination_kind, cell.path) == (source_kind, destination_kind, path)
        };
        document.cells.iter().find(is_it).cloned().unwrap()
    }

    #[test]
    fn every_pair_and_every_flow_is_in_one_cell() {
        let (pairs, flows) = made_up::node();
        let document = build(made_up::head(), &pairs, &flows);
        let counted: u64 = document.cells.iter().flat_map(|cell| cell.verdicts.values()).sum();
        assert_eq!(counted, pairs.len() as u64);
        assert_eq!(document.cells.iter().map(|cell| cell.flows).sum::<u64>(), flows.len() as u64);
        let bytes: u64 = flows.iter().map(|flow| flow.forward.bytes + flow.reply.bytes).sum();
        assert_eq!(document.cells.iter().map(|cell| cell.bytes).sum::<u64>(), bytes);
        let keys: Vec<_> =
            document.cells.iter().map(|cell| (cell.source_kind, cell.destination_kind, cell.path)).collect();
        let mut sorted = keys.clone();
        sorted.sort();
        sorted.dedup();
        assert_eq!(keys, sorted);
    }

    #[test]
    fn a_cell_has_the_pairs_by_verdict_and_what_was_seen_of_all_flows() {
        let (pairs, flows) = made_up::node();
        let document = build(made_up::head(), &pairs, &flows);
        let cell = cell(&document, KindName::Container, KindName::External, Path::Uplink);
        let verdicts: Vec<_> = cell.verdicts.into_iter().collect();
        assert_eq!(verdicts, [(Verdict::Refused, 1), (Verdict::Degraded, 1), (Verdict::Reachable, 12)]);
        assert_eq!((cell.flows, cell.bytes), (15, 14 * 1_500_000 + 134));
        let told: Vec<_> = cell.evidence.iter().map(|one| (one.kind, one.flows, one.count)).collect();
        assert_eq!(
            told,
            [
                (EvidenceKind::ReplyPacket, 14, 14 * 90),
                (EvidenceKind::Handshake, 14, 14),
                (EvidenceKind::Rst, 1, 1),
                (EvidenceKind::Retransmit, 1, 47 + 3),
            ]
        );
        assert_eq!(cell.last_seen, made_up::before(2));
    }

    #[test]
    fn where_it_was_is_told_where_it_was_the_same_place_each_time() {
        let (pairs, flows) = made_up::node();
        let document = build(made_up::head(), &pairs, &flows);
        let cell = cell(&document, KindName::Container, KindName::External, Path::Uplink);
        let of = |kind| cell.evidence.iter().find(|one| one.kind == kind).unwrap();
        let handshake = of(EvidenceKind::Handshake);
        assert_eq!((handshake.hop.as_deref(), handshake.detail.as_deref()), (None, None), "each its own");
        let again = of(EvidenceKind::Retransmit);
        assert_eq!((again.hop.as_deref(), again.detail.as_deref()), (Some("veth3 ingress"), None));
        assert_eq!(of(EvidenceKind::Rst).detail.as_deref(), Some("sent by the destination"));
    }

    #[test]
    fn a_pair_that_no_flow_tells_of_brings_what_was_dropped() {
        let (pairs, _) = made_up::node();
        let document = build(made_up::head(), &pairs, &[]);
        let cell = cell(&document, KindName::Host, KindName::Vm, Path::HostDirect);
        assert_eq!(cell.verdicts.into_iter().collect::<Vec<_>>(), [(Verdict::Dropped, 1)]);
        assert_eq!((cell.flows, cell.bytes, cell.last_seen), (0, 0, made_up::before(4)));
        let [drop] = &cell.evidence[..] else { panic!("{:?}", cell.evidence) };
        assert_eq!((drop.kind, drop.flows, drop.count), (EvidenceKind::Drop, 0, 5));
        assert_eq!((drop.hop.as_deref(), drop.detail.as_deref()), (None, Some("netfilter_drop")));
    }

    #[test]
    fn flows_of_no_pair_are_a_cell_without_a_verdict() {
        let (_, flows) = made_up::node();
        let document = build(made_up::head(), &[], &flows);
        let cell = cell(&document, KindName::Host, KindName::Unknown, Path::Uplink);
        assert!(cell.verdicts.is_empty() && cell.flows == 1);
    }

    #[test]
    fn nothing_makes_no_cell() {
        assert!(build(made_up::head(), &[], &[]).cells.is_empty());
    }
}
