//! `/proc/kallsyms` → the functions that addresses in the kernel's code lie in.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, BufRead, BufReader},
    sync::Arc,
};

use netobs_common::drop::Place;

/// The functions of the running kernel around these addresses; none where the kernel does not show its addresses
/// (`kernel.kptr_restrict` without `CAP_SYSLOG`). Blocking: a tenth of a second for some 200,000 lines, none of which
/// is kept.
///
/// # Errors
/// What the file system says.
pub fn functions(addresses: &[u64]) -> io::Result<BTreeMap<u64, Arc<str>>> {
    around(BufReader::with_capacity(1 << 16, File::open("/proc/kallsyms")?), addresses)
}

/// Where functions of these names are, each with where the next one begins; those that the kernel does not show are
/// missing. Parts that the compiler put elsewhere (`NAME.cold`) are places of their own. Blocking, twice as long.
///
/// # Errors
/// What the file system says.
pub fn places(names: &[&str]) -> io::Result<Vec<Place>> {
    let open = || Ok(BufReader::with_capacity(1 << 16, File::open("/proc/kallsyms")?));
    places_of(open, names)
}

fn places_of<R: BufRead>(open: impl Fn() -> io::Result<R>, names: &[&str]) -> io::Result<Vec<Place>> {
    let mut wanted: Vec<(Digits, Option<Digits>)> = Vec::new();
    each_function(open()?, |start, name| {
        let name = name.split(|byte| *byte == b'.').next().unwrap_or(name);
        if names.iter().any(|one| one.as_bytes() == name) {
            wanted.push((*start, None));
        }
    })?;
    each_function(open()?, |start, _| {
        for (from, to) in &mut wanted {
            if start > from && to.is_none_or(|to| *start < to) {
                *to = Some(*start);
            }
        }
    })?;
    let place =
        |(start, end): (Digits, Option<Digits>)| Some(Place { start: number(&start)?, end: number(&end?)? });
    Ok(wanted.into_iter().filter_map(place).collect())
}

/// The last function that begins before an address is the one it lies in. Nothing says that lines are in order:
/// modules come after the kernel.
fn around(lines: impl BufRead, addresses: &[u64]) -> io::Result<BTreeMap<u64, Arc<str>>> {
    let digits = |address: &u64| -> Option<Digits> { format!("{address:016x}").as_bytes().try_into().ok() };
    let mut best: Vec<(Digits, Option<Begins>)> =
        addresses.iter().filter_map(digits).map(|address| (address, None)).collect();
    each_function(lines, |start, name| {
        for (address, best) in &mut best {
            if start <= address && best.as_ref().is_none_or(|(known, _)| known < start) {
                *best = Some((*start, String::from_utf8_lossy(name).into()));
            }
        }
    })?;
    Ok(best.into_iter().filter_map(|(address, best)| Some((number(&address)?, best?.1))).collect())
}

/// An address as the file has it (`%px`): they are compared as they stand, for there are a hundred thousand of them.
type Digits = [u8; 16];

/// Where a function begins, and its name.
type Begins = (Digits, Arc<str>);

fn number(digits: &Digits) -> Option<u64> {
    u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

fn each_function(mut lines: impl BufRead, mut take: impl FnMut(&Digits, &[u8])) -> io::Result<()> {
    let mut line = Vec::new();
    loop {
        line.clear();
        if lines.read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        if let Some((start, name)) = function(&line) {
            take(start, name);
        }
    }
}

/// `ADDRESS KIND NAME [MODULE]`, of the kinds that are code.
fn function(line: &[u8]) -> Option<(&Digits, &[u8])> {
    let (start, rest) = line.split_first_chunk::<16>()?;
    let [b' ', b't' | b'T' | b'w' | b'W', b' ', name @ ..] = rest else { return None };
    if start == b"0000000000000000" {
        return None;
    }
    let end = name.iter().position(|byte| byte.is_ascii_whitespace()).unwrap_or(name.len());
    Some((start, name.get(..end)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SYMBOLS: &str = "0000000000000000 A fixed_percpu_data\nffffffff81000000 T _stext\n\
        ffffffff81000100 t nf_hook_slow\nffffffff81000180 d some_data\nffffffff81000200 T ip_rcv\n\
        ffffffffc0000000 t nft_do_chain\t[nf_tables]\n";

    fn found(symbols: &str, address: u64) -> Option<String> {
        let all = around(symbols.as_bytes(), &[address]).unwrap();
        all.get(&address).map(|name| name.to_string())
    }

    #[test]
    fn an_address_lies_in_the_function_that_begins_before_it() {
        assert_eq!(found(SYMBOLS, 0xffff_ffff_8100_01a0).as_deref(), Some("nf_hook_slow"));
        assert_eq!(found(SYMBOLS, 0xffff_ffff_8100_0200).as_deref(), Some("ip_rcv"));
        assert_eq!(found(SYMBOLS, 0xffff_ffff_c000_0009).as_deref(), Some("nft_do_chain"));
        assert_eq!(found(SYMBOLS, 0x1000), None, "before everything");
    }

    #[test]
    fn a_function_ends_where_the_next_one_begins_wherever_that_is_listed() {
        let symbols = "ffffffff81000400 t ip_rcv.cold\nffffffff81000300 t last\nffffffff81000500 t after\n";
        let all = format!("{SYMBOLS}{symbols}");
        let found = places_of(|| Ok(all.as_bytes()), &["ip_rcv", "tcp_v4_rcv"]).unwrap();
        let place = |start: u64, end: u64| Place {
            start: 0xffff_ffff_8100_0000 + start,
            end: 0xffff_ffff_8100_0000 + end,
        };
        assert_eq!(found, [place(0x200, 0x300), place(0x400, 0x500)]);
        assert!(found[0].calls(0xffff_ffff_8100_0300) && !found[0].calls(0xffff_ffff_8100_0200));
    }

    #[test]
    fn hidden_addresses_name_nothing() {
        let hidden = "0000000000000000 T _stext\n0000000000000000 t nf_hook_slow\n";
        assert_eq!(found(hidden, 0xffff_ffff_8100_01a0), None);
        assert!(places_of(|| Ok(hidden.as_bytes()), &["nf_hook_slow"]).unwrap().is_empty());
        assert_eq!(found("nonsense\n\u{1}\n", 1), None);
    }
}
