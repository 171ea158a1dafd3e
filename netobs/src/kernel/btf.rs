//! The kernel's description of its own types (BTF) → where a member stands in a structure, what the words of an
//! enumeration are, how many arguments a function has. No I/O.
//!
//! Rust programs carry no relocations, so what the kernel side reads of the kernel's structures is resolved
//! here when it is loaded. Format: Documentation/bpf/btf.rst of Linux 6.18,
//! <https://docs.kernel.org/bpf/btf.html>.

use std::collections::HashMap;

const MAGIC: u16 = 0xeb9f;
const STRUCT: u32 = 4;
const UNION: u32 = 5;
const POINTER: u32 = 2;
const ENUMERATION: u32 = 6;
const TYPEDEF: u32 = 8;
const FUNCTION: u32 = 13;
const ENUMERATION_64: u32 = 19;
/// `typedef`, `volatile`, `const`, `restrict`, `type_tag`: another name for a type.
const OTHER_NAMES: [u32; 5] = [8, 9, 10, 11, 18];
/// How deep structures without a name, and names for names, may be nested; the kernel's are 4 deep.
const DEEPEST: u32 = 16;

/// Types by number and name.
#[derive(Debug)]
pub(super) struct Btf<'a> {
    strings: &'a [u8],
    /// From type 1 on.
    types: Vec<Type<'a>>,
    structures: HashMap<&'a [u8], u32>,
}

#[derive(Clone, Copy, Debug)]
struct Type<'a> {
    name: u32,
    info: u32,
    of: u32,
    members: &'a [u8],
}

impl Type<'_> {
    const fn kind(&self) -> u32 {
        (self.info >> 24) & 0x1f
    }

    const fn is_structure(&self) -> bool {
        matches!(self.kind(), STRUCT | UNION)
    }
}

impl<'a> Btf<'a> {
    /// Reads a description; `None` where it is none, is cut, or has a kind of type not known here.
    #[must_use]
    pub(super) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let magic = u16::from_le_bytes([*bytes.first()?, *bytes.get(1)?]);
        if magic != MAGIC {
            return None;
        }
        let header = word(bytes, 4)? as usize;
        let part = |at: usize| {
            let start = header.checked_add(word(bytes, at)? as usize)?;
            bytes.get(start..start.checked_add(word(bytes, at + 4)? as usize)?)
        };
        let (mut rest, strings) = (part(8)?, part(16)?);
        let mut btf = Self { strings, types: Vec::new(), structures: HashMap::new() };
        while !rest.is_empty() {
            let (name, info, of) = (word(rest, 0)?, word(rest, 4)?, word(rest, 8)?);
            let count = (info & 0xffff) as usize;
            let follows = match (info >> 24) & 0x1f {
                1 | 14 | 17 => 4,
                3 => 12,
                STRUCT | UNION | 15 | 19 => count * 12,
                6 | 13 => count * 8,
                2 | 7 | 8..=12 | 16 | 18 => 0,
                _ => return None,
            };
            let members = rest.get(12..12 + follows)?;
            let found = Type { name, info, of, members };
            btf.types.push(found);
            if found.kind() == STRUCT {
                let number = u32::try_from(btf.types.len()).ok()?;
                btf.structures.entry(btf.text(name)?).or_insert(number);
            }
            rest = rest.get(12 + follows..)?;
        }
        Some(btf)
    }

    /// Bytes from the start of a structure to a member of it, or to a member of a member.
    #[must_use]
    pub(super) fn offset(&self, structure: &str, path: &[&str]) -> Option<u32> {
        let mut number = *self.structures.get(structure.as_bytes())?;
        let mut bits = 0;
        for name in path {
            let (at, of) = self.member(number, name.as_bytes(), 0)?;
            bits += at;
            number = of;
        }
        (bits % 8 == 0).then_some(bits / 8)
    }

    /// Bytes of a structure.
    #[must_use]
    pub(super) fn size(&self, structure: &str) -> Option<u32> {
        let number = *self.structures.get(structure.as_bytes())?;
        Some(self.structure(number)?.of)
    }

    /// The words of an enumeration and their numbers.
    #[must_use]
    pub(super) fn enumeration(&self, name: &str) -> Option<Vec<(&'a str, u32)>> {
        let found = self.named(name, &[ENUMERATION, ENUMERATION_64])?;
        let width = if found.kind() == ENUMERATION { 8 } else { 12 };
        let words = found.members.chunks_exact(width).map(|member| {
            let word = std::str::from_utf8(self.text(word(member, 0)?)?).ok()?;
            Some((word, self::word(member, 4)?))
        });
        words.collect()
    }

    /// How many arguments a function has that a name stands for, or for a pointer to it.
    #[must_use]
    pub(super) fn arguments(&self, name: &str) -> Option<u32> {
        let mut found = self.named(name, &[TYPEDEF])?;
        for _ in 0..DEEPEST {
            match found.kind() {
                FUNCTION => return Some(found.info & 0xffff),
                TYPEDEF | POINTER => found = *self.types.get(found.of.checked_sub(1)? as usize)?,
                _ => return None,
            }
        }
        None
    }

    fn named(&self, name: &str, kinds: &[u32]) -> Option<Type<'a>> {
        let is_it =
            |one: &&Type<'a>| kinds.contains(&one.kind()) && self.text(one.name) == Some(name.as_bytes());
        self.types.iter().find(is_it).copied()
    }

    /// A member's distance in bits and its type, looked for in members without a name too.
    fn member(&self, number: u32, wanted: &[u8], depth: u32) -> Option<(u32, u32)> {
        let structure = self.structure(number)?;
        let bit_fields = structure.info >> 31 != 0;
        structure.members.as_chunks::<12>().0.iter().find_map(|member| {
            let (name, of, at) = (word(member, 0)?, word(member, 4)?, word(member, 8)?);
            let at = if bit_fields { at & 0x00ff_ffff } else { at };
            match self.text(name)? {
                name if name == wanted => Some((at, of)),
                [] if depth < DEEPEST => {
                    let (inner, of) = self.member(of, wanted, depth + 1)?;
                    Some((at.checked_add(inner)?, of))
                }
                _ => None,
            }
        })
    }

    /// The structure a type is, by whatever name.
    fn structure(&self, mut number: u32) -> Option<Type<'a>> {
        for _ in 0..DEEPEST {
            let found = *self.types.get(number.checked_sub(1)? as usize)?;
            if found.is_structure() {
                return Some(found);
            }
            if !OTHER_NAMES.contains(&found.kind()) {
                return None;
            }
            number = found.of;
        }
        None
    }

    fn text(&self, at: u32) -> Option<&'a [u8]> {
        self.strings.get(at as usize..)?.split(|byte| *byte == 0).next()
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().copied().map(u32::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Strings: `""` 0, `outer` 1, `inner` 7, `wanted` 13, `flag` 20.
    const STRINGS: &[u8] = b"\0outer\0inner\0wanted\0flag\0";

    fn described(types: &[u32]) -> Vec<u8> {
        let types: Vec<u8> = types.iter().flat_map(|word| word.to_le_bytes()).collect();
        let (length, strings) = (types.len() as u32, STRINGS.len() as u32);
        let mut bytes = vec![0x9f, 0xeb, 1, 0];
        for word in [24, 0, length, length, strings] {
            bytes.extend(u32::to_le_bytes(word));
        }
        bytes.extend(types);
        bytes.extend(STRINGS);
        bytes
    }

    const fn kind(kind: u32, count: u32) -> u32 {
        kind << 24 | count
    }

    /// An integer (1); a structure without a name that holds it at byte 4 (2); a name for that (3); `outer`
    /// with the nameless one at byte 8 (4).
    fn nested() -> Vec<u8> {
        let integer = [0, kind(1, 0), 4, 0];
        let nameless = [0, kind(STRUCT, 1), 8, 13, 1, 32];
        let named = [7, kind(10, 0), 2];
        let outer = [1, kind(STRUCT, 2), 24, 0, 2, 64, 7, 3, 128];
        described(&[&integer[..], &nameless, &named, &outer].concat())
    }

    #[test]
    fn a_member_of_a_structure_without_a_name_is_a_member() {
        let bytes = nested();
        assert_eq!(Btf::parse(&bytes).unwrap().offset("outer", &["wanted"]), Some(12));
    }

    #[test]
    fn a_member_of_a_member_is_found_behind_other_names_of_its_type() {
        let bytes = nested();
        assert_eq!(Btf::parse(&bytes).unwrap().offset("outer", &["inner", "wanted"]), Some(20));
    }

    #[test]
    fn what_is_not_there_is_none() {
        let bytes = nested();
        let btf = Btf::parse(&bytes).unwrap();
        assert_eq!(btf.offset("nobody", &["wanted"]), None);
        assert_eq!(btf.offset("outer", &["flag"]), None);
        assert_eq!(btf.offset("outer", &["wanted", "inner"]), None, "an integer has no members");
    }

    #[test]
    fn a_bit_field_has_no_byte_of_its_own() {
        let fields = [1, kind(STRUCT, 2) | 1 << 31, 8, 13, 1, 32, 20, 1, 3 << 24 | 5];
        let bytes = described(&fields);
        let btf = Btf::parse(&bytes).unwrap();
        assert_eq!((btf.offset("outer", &["wanted"]), btf.offset("outer", &["flag"])), (Some(4), None));
    }

    #[test]
    fn the_words_of_an_enumeration_have_the_numbers_written_there() {
        // `outer` = 7, `wanted` = 9; then the same as an enumeration of 64 bits.
        let narrow = described(&[7, kind(ENUMERATION, 2), 4, 1, 7, 13, 9]);
        let wide = described(&[7, kind(ENUMERATION_64, 2), 8, 1, 7, 0, 13, 9, 0]);
        for bytes in [narrow, wide] {
            let btf = Btf::parse(&bytes).unwrap();
            assert_eq!(btf.enumeration("inner"), Some(vec![("outer", 7), ("wanted", 9)]));
            assert_eq!(btf.enumeration("outer"), None, "a word is no enumeration");
        }
    }

    #[test]
    fn the_arguments_of_a_function_are_counted_through_names_and_pointers() {
        // `wanted` (1) is a pointer (2) to a function of three arguments (3).
        let bytes = described(&[
            13,
            kind(TYPEDEF, 0),
            2,
            0,
            kind(POINTER, 0),
            3,
            0,
            kind(FUNCTION, 3),
            0,
            0,
            0,
            0,
            0,
            0,
            0,
        ]);
        let btf = Btf::parse(&bytes).unwrap();
        assert_eq!((btf.arguments("wanted"), btf.arguments("outer")), (Some(3), None));
    }

    #[test]
    fn the_running_kernel_describes_its_processes() {
        let Ok(bytes) = std::fs::read("/sys/kernel/btf/vmlinux") else { return };
        let btf = Btf::parse(&bytes).unwrap();
        assert!(btf.offset("task_struct", &["nsproxy"]).is_some_and(|at| at > 0));
        assert!(btf.offset("mnt_namespace", &["ns", "inum"]).is_some());
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(mut bytes in proptest::collection::vec(0_u8.., 0..200), cut in 0_usize..120) {
            let offset = |bytes: &[u8]| Btf::parse(bytes).and_then(|btf| btf.offset("outer", &["wanted"]));
            proptest::prop_assert_eq!(offset(&bytes), None);
            let whole = nested();
            let cut = cut.min(whole.len());
            proptest::prop_assert!(cut == whole.len() || offset(&whole[..cut]).is_none());
            bytes.splice(0..0, whole);
            proptest::prop_assert_eq!(offset(&bytes), Some(12));
        }
    }
}
