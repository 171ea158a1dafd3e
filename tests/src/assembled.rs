//! Small programs written as instructions, which change a packet and go on to the program under test by tail
//! call: test runs alone give every run the same bytes and no tag outside the frame.

use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};

use anyhow::{Context as _, Result};

use crate::bpf::{Arguments, owned};

const MAP_CREATE: libc::c_long = 0;
const MAP_UPDATE: libc::c_long = 2;
const PROG_LOAD: libc::c_long = 5;
const SCHED_CLS: u32 = 3;
const ARRAY: u32 = 2;
const PROG_ARRAY: u32 = 3;

/// What a wrapper returns where it could not go on: no program under test says so.
pub const NOT_REACHED: u32 = 0xffff_fffe;

/// One instruction (`struct bpf_insn`): code, destination and source register, offset, immediate.
const fn instruction(code: u8, to: u8, from: u8, offset: i16, immediate: u32) -> u64 {
    code as u64
        | (to as u64) << 8
        | (from as u64) << 12
        | (offset.cast_unsigned() as u64) << 16
        | (immediate as u64) << 32
}

const fn copy(to: u8, from: u8) -> u64 {
    instruction(0xbf, to, from, 0, 0)
}

const fn set(to: u8, value: u32) -> u64 {
    instruction(0xb7, to, 0, 0, value)
}

const fn add(to: u8, value: u32) -> u64 {
    instruction(0x07, to, 0, 0, value)
}

const fn load_word(to: u8, from: u8, offset: i16) -> u64 {
    instruction(0x61, to, from, offset, 0)
}

const fn store_word(to: u8, from: u8, offset: i16) -> u64 {
    instruction(0x63, to, from, offset, 0)
}

const fn call(helper: u32) -> u64 {
    instruction(0x85, 0, 0, 0, helper)
}

const EXIT: u64 = 0x95;

/// The two instructions that load a map's address.
fn map(to: u8, fd: &OwnedFd) -> [u64; 2] {
    [instruction(0x18, to, 1, 0, fd.as_raw_fd().unsigned_abs()), 0]
}

/// A loaded program, and the slot of the one it goes on to.
pub struct Wrapper {
    program: OwnedFd,
    next: OwnedFd,
}

impl Wrapper {
    /// Where it goes on from now on.
    ///
    /// # Errors
    /// When the program is of another kind.
    pub fn lead_to(&self, program: BorrowedFd<'_>) -> Result<()> {
        write(&self.next, program.as_raw_fd().unsigned_abs()).context("leading a wrapper to a program")
    }
}

impl AsFd for Wrapper {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.program.as_fd()
    }
}

/// A program that returns "go on" and does nothing else: what the hook costs.
///
/// # Errors
/// Without privilege.
pub fn empty() -> Result<OwnedFd> {
    load(&[set(0, u32::MAX), EXIT])
}

/// How [`Vary`] chooses the next tuple.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Each once, one after the other.
    Sequence,
    /// Any of so many.
    Random(u32),
}

/// Writes another number into the packet before every run.
#[derive(Clone, Copy, Debug)]
pub struct Vary {
    /// Where four bytes are overwritten.
    pub offset: u16,
    /// What is added to the number, little-endian in the packet: over both ports, the low half is the
    /// source port and the high half the destination port, each with its bytes swapped.
    pub base: u32,
    /// Which numbers.
    pub order: Order,
}

impl Vary {
    /// Loads it.
    ///
    /// # Errors
    /// Without privilege.
    pub fn load(self) -> Result<Wrapper> {
        let state = create(ARRAY)?;
        let next = create(PROG_ARRAY)?;
        let at = i16::try_from(self.offset)?;
        // r6: context, r7: start of the packet; `__sk_buff` has `data` at 76 and `data_end` at 80.
        let mut body = vec![copy(6, 1), load_word(7, 1, 76), load_word(3, 1, 80), copy(2, 7)];
        body.push(add(2, u32::from(self.offset) + 4));
        let mut jumps = vec![(body.len(), 0x2d, 2, 3)];
        body.push(0);
        match self.order {
            Order::Random(count) => body.extend([call(7), instruction(0x94, 0, 0, 0, count)]),
            Order::Sequence => {
                look_up(&mut body, &state);
                jumps.push((body.len(), 0x15, 0, 0));
                body.push(0);
                body.extend([load_word(8, 0, 0), copy(9, 8), add(9, 1), store_word(0, 9, 0), copy(0, 8)]);
            }
        }
        body.extend([instruction(0x04, 0, 0, 0, self.base), store_word(7, 0, at)]);
        go_on(&mut body, &next);
        let end = body.len() - 2;
        for (place, code, to, from) in jumps {
            body[place] = instruction(code, to, from, i16::try_from(end - place - 1)?, 0);
        }
        Ok(Wrapper { program: load(&body)?, next })
    }
}

/// Takes the place of a network card that takes an 802.1Q tag out of the frame.
///
/// # Errors
/// Without privilege.
pub fn tagging(control: u16) -> Result<Wrapper> {
    let next = create(PROG_ARRAY)?;
    let ether_type = u32::from(0x8100_u16.to_be());
    // 18: bpf_skb_vlan_push, which keeps the first tag beside the frame.
    let mut body = vec![copy(6, 1), set(2, ether_type), set(3, u32::from(control)), call(18)];
    go_on(&mut body, &next);
    Ok(Wrapper { program: load(&body)?, next })
}

/// Cuts packets: test runs of the kernel refuse those that end within their IP header (Linux 6.18), and the
/// wire does not.
pub struct Shortener {
    wrapper: Wrapper,
    length: OwnedFd,
}

impl Shortener {
    /// Loads it, before a program.
    ///
    /// # Errors
    /// Without privilege.
    pub fn before(program: BorrowedFd<'_>) -> Result<Self> {
        let (length, next) = (create(ARRAY)?, create(PROG_ARRAY)?);
        let mut body = vec![copy(6, 1)];
        look_up(&mut body, &length);
        // Past these, to the load of "not reached": there is no such entry.
        let jump = body.len();
        body.push(0);
        // 38: bpf_skb_change_tail.
        body.extend([load_word(2, 0, 0), copy(1, 6), set(3, 0), call(38)]);
        go_on(&mut body, &next);
        body[jump] = instruction(0x15, 0, 0, i16::try_from(body.len() - 2 - jump - 1)?, 0);
        let wrapper = Wrapper { program: load(&body)?, next };
        wrapper.lead_to(program)?;
        Ok(Self { wrapper, length })
    }

    /// How long packets are from now on, at least 14 bytes.
    ///
    /// # Errors
    /// None is known.
    pub fn cut_to(&self, length: usize) -> Result<BorrowedFd<'_>> {
        write(&self.length, length.try_into()?).context("choosing a length")?;
        Ok(self.wrapper.as_fd())
    }
}

/// The only entry of an array, its address in r0.
fn look_up(body: &mut Vec<u64>, array: &OwnedFd) {
    body.extend(map(1, array));
    body.extend([copy(2, 10), add(2, (-4_i32).cast_unsigned()), instruction(0x62, 10, 0, -4, 0), call(1)]);
}

/// Tail call with the context in r6; what comes after it is reached only where there is no program.
fn go_on(body: &mut Vec<u64>, next: &OwnedFd) {
    body.push(copy(1, 6));
    body.extend(map(2, next));
    body.extend([set(3, 0), call(12), set(0, NOT_REACHED), EXIT]);
}

fn load(instructions: &[u64]) -> Result<OwnedFd> {
    let license = c"GPL";
    let mut arguments = Arguments::new()
        .u32(0, SCHED_CLS)
        .u32(4, instructions.len().try_into()?)
        .u64(8, instructions.as_ptr().addr() as u64)
        .u64(16, license.as_ptr().addr() as u64);
    owned(arguments.call(PROG_LOAD).context("loading a program made of instructions")?)
}

/// A map of one entry, four bytes to four bytes.
fn create(kind: u32) -> Result<OwnedFd> {
    let mut arguments = Arguments::new().u32(0, kind).u32(4, 4).u32(8, 4).u32(12, 1);
    owned(arguments.call(MAP_CREATE).context("making a map")?)
}

fn write(map: &OwnedFd, value: u32) -> Result<()> {
    let key = 0_u32;
    let mut arguments = Arguments::new()
        .u32(0, map.as_raw_fd().unsigned_abs())
        .u64(8, (&raw const key).addr() as u64)
        .u64(16, (&raw const value).addr() as u64);
    arguments.call(MAP_UPDATE)?;
    Ok(())
}
