//! Bytes of JSON → whether they hold more than is to be taken in: an empty object in a list has three bytes, and
//! hundreds of times that once it is read. Pure.

/// Most objects in the lists of one answer, at any depth: five thousand nodes with their images have 300,000.
const OBJECTS: usize = 1 << 19;
/// Most objects that are listed themselves: one without anything in it takes 2 KiB once it is read. There are some ten
/// thousand Services in a large cluster, and twice as many slices.
const ITEMS: usize = 1 << 16;
/// Most of anything else in lists: five thousand nodes have 500,000 names of images.
const ELEMENTS: usize = 1 << 21;
/// Deepest nesting; the reader gives up at the same.
const DEEPEST: usize = 128;

/// What was seen of the present document; a watch is many, one after another.
#[derive(Debug, Default)]
pub(super) struct Scan {
    /// Whether it is a list, for each that is open.
    open: Vec<bool>,
    in_string: bool,
    escaped: bool,
    objects: usize,
    items: usize,
    elements: usize,
}

impl Scan {
    /// Looks at what comes next; whether it is still to be taken in.
    pub(super) fn take(&mut self, bytes: &[u8]) -> bool {
        for byte in bytes {
            if self.in_string {
                match byte {
                    _ if self.escaped => self.escaped = false,
                    b'\\' => self.escaped = true,
                    b'"' => self.in_string = false,
                    _ => {}
                }
                continue;
            }
            let in_list = self.open.last() == Some(&true);
            match byte {
                b'"' => self.in_string = true,
                b'{' => {
                    self.objects += usize::from(in_list);
                    self.items += usize::from(in_list && self.open.len() == 2);
                    self.open.push(false);
                }
                b'[' => self.open.push(true),
                b',' => self.elements += usize::from(in_list),
                b'}' | b']' => {
                    self.open.pop();
                    if self.open.is_empty() {
                        (self.objects, self.items, self.elements) = (0, 0, 0);
                    }
                }
                _ => {}
            }
            let objects = self.objects > OBJECTS || self.items > ITEMS;
            if objects || self.elements > ELEMENTS || self.open.len() > DEEPEST {
                return false;
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(text: &str) -> bool {
        // In pieces, as it comes.
        let mut scan = Scan::default();
        text.as_bytes().chunks(7).all(|piece| scan.take(piece))
    }

    fn list(item: &str, times: usize) -> String {
        format!("{{\"items\":[{}]}}\n", vec![item; times].join(","))
    }

    #[test]
    fn lists_of_millions_of_nothings_are_not_taken_in_at_any_depth() {
        assert!(taken(&list("{}", ITEMS)));
        assert!(!taken(&list("{}", ITEMS + 1)));
        let of = |each: usize| list(&format!("{{\"x\":[{}]}}", vec!["{}"; each].join(",")), 1_024);
        assert!(taken(&of(OBJECTS / 1_024 - 1)));
        assert!(!taken(&of(OBJECTS / 1_024)));
        assert!(!taken(&list(
            &format!("{{\"x\":{{\"containers\":[{}]}}}}", vec!["{}"; 1_024].join(",")),
            1_024
        )));
        assert!(!taken(&list("\"\"", ELEMENTS + 2)));
        assert!(!taken(&"[".repeat(DEEPEST + 1)));
    }

    #[test]
    fn text_is_no_structure_and_each_document_counts_for_itself() {
        assert!(taken(&list(r#""[{\"[{,{,""#, 100_000)));
        let text = format!(r#"{{"items":["{}\\",{{}}]}}"#, "{,[".repeat(OBJECTS));
        assert!(taken(&text));
        assert!(taken(&list("{}", ITEMS / 2).repeat(4)));
    }
}
