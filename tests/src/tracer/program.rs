//! The tracer's kernel side: each packet at a hook becomes a record of time, interface and first bytes. Written in
//! instructions, so that nothing of it comes from what it is to judge.

use std::os::fd::OwnedFd;

use anyhow::Result;

use crate::bpf::{self, Tcx};

/// Records a tracer holds; what comes after them is counted and nothing more.
pub(super) const RECORDS: u32 = 8_192;
/// Bytes kept of a frame: enough for an encapsulation over IPv6 around TCP over IPv6 with options, and a mark.
pub(super) const KEPT: usize = 256;
/// Bytes of a record before the frame's: time, interface, where it came in, length, hook, kept, padding.
pub(super) const HEAD: usize = 32;

/// Loads the program for one hook. It takes the next place in `counter` and writes to that place of `records`.
pub(super) fn load(hook: Tcx, counter: &OwnedFd, records: &OwnedFd) -> Result<OwnedFd> {
    let code = instructions(hook as i32, bpf::number(counter), bpf::number(records));
    bpf::load(b"lab_trace", &code)
}

/// One instruction (`struct bpf_insn`): code, registers, offset, constant.
fn one(code: u8, to: u8, from: u8, offset: i16, constant: i32) -> u64 {
    u64::from(code)
        | u64::from(to | from << 4) << 8
        | u64::from(offset.cast_unsigned()) << 16
        | u64::from(constant.cast_unsigned()) << 32
}

/// What the program is made of, with jumps to its end filled in last.
#[derive(Default)]
struct Code {
    words: Vec<u64>,
    to_end: Vec<usize>,
}

impl Code {
    fn push(&mut self, code: u8, to: u8, from: u8, offset: i16, constant: i32) {
        self.words.push(one(code, to, from, offset, constant));
    }
    fn set(&mut self, to: u8, constant: i32) {
        self.push(0xb7, to, 0, 0, constant);
    }
    fn copy(&mut self, to: u8, from: u8) {
        self.push(0xbf, to, from, 0, 0);
    }
    fn add(&mut self, to: u8, constant: i32) {
        self.push(0x07, to, 0, 0, constant);
    }
    fn call(&mut self, helper: i32) {
        self.push(0x85, 0, 0, 0, helper);
    }
    /// Reads 32 bits.
    fn read(&mut self, to: u8, from: u8, offset: i16) {
        self.push(0x61, to, from, offset, 0);
    }
    /// Writes 32 bits.
    fn write(&mut self, to: u8, from: u8, offset: i16) {
        self.push(0x63, to, from, offset, 0);
    }
    /// Ends where the comparison holds.
    fn end_if(&mut self, code: u8, register: u8, constant: i32) {
        self.to_end.push(self.words.len());
        self.push(code, register, 0, 0, constant);
    }
    /// r0 = the value of an array at the index that stands at the top of the stack; ends where there is none.
    fn look_up(&mut self, array: u32) {
        // A descriptor is a constant of 64 bits, in two words.
        self.push(0x18, 1, 1, 0, array.cast_signed());
        self.words.push(0);
        self.copy(2, 10);
        self.add(2, -4);
        self.call(1);
        self.end_if(0x15, 0, 0);
    }
    fn finish(mut self) -> Vec<u64> {
        for at in self.to_end {
            let distance = i16::try_from(self.words.len() - at - 1).unwrap_or(i16::MAX);
            self.words[at] |= u64::from(distance.cast_unsigned()) << 16;
        }
        // TC_ACT_UNSPEC: on to whoever comes next.
        self.words.push(one(0xb7, 0, 0, 0, -1));
        self.words.push(one(0x95, 0, 0, 0, 0));
        self.words
    }
}

fn instructions(hook: i32, counter: u32, records: u32) -> Vec<u64> {
    let mut code = Code::default();
    // r6 = packet, r7 = bpf_ktime_get_ns().
    code.copy(6, 1);
    code.call(5);
    code.copy(7, 0);
    // r1 = place, taken by an atomic add that returns what was there.
    code.push(0x62, 10, 0, -4, 0);
    code.look_up(counter);
    code.set(1, 1);
    code.push(0xdb, 0, 1, 0, 0x01);
    code.end_if(0x35, 1, RECORDS.cast_signed());
    code.write(10, 1, -4);
    code.look_up(records);
    code.copy(8, 0);
    // Time; then ifindex, ingress_ifindex and len of `struct __sk_buff`; the hook.
    code.push(0x7b, 8, 7, 0, 0);
    for (field, offset) in [(40, 8), (36, 12), (0, 16)] {
        code.read(1, 6, field);
        code.write(8, 1, offset);
    }
    code.set(1, hook);
    code.write(8, 1, 20);
    // r4 = bytes to keep: at least a header, at most what fits.
    code.read(4, 6, 0);
    code.push(0xb5, 4, 0, 1, KEPT as i32);
    code.set(4, KEPT as i32);
    code.write(8, 4, 24);
    code.end_if(0xa5, 4, 14);
    // bpf_skb_load_bytes(packet, 0, record + HEAD, r4)
    code.copy(1, 6);
    code.set(2, 0);
    code.copy(3, 8);
    code.add(3, HEAD as i32);
    code.call(26);
    code.finish()
}
