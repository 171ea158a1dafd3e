//! A page in OpenMetrics text → its families and samples, or what is wrong with it. Stricter than any scraper.

use std::collections::{BTreeMap, BTreeSet};

pub(super) type Labels = Vec<(String, String)>;

#[derive(Debug, Default)]
pub(super) struct Read {
    /// Name as in TYPE → type.
    pub(super) types: BTreeMap<String, String>,
    /// Sample name, labels, value.
    pub(super) samples: Vec<(String, Labels, String)>,
}

pub(super) fn open_metrics(page: &str) -> Result<Read, String> {
    let body = page.strip_suffix("# EOF\n").ok_or("no end mark")?;
    read(body, true)
}

pub(super) fn classic(page: &str) -> Result<Read, String> {
    read(page, false)
}

fn read(body: &str, open_metrics: bool) -> Result<Read, String> {
    if !body.is_empty() && !body.ends_with('\n') {
        return Err("the last line does not end".into());
    }
    let mut read = Read::default();
    let mut helped = BTreeSet::new();
    let mut seen = BTreeSet::new();
    let mut current = String::new();
    for line in body.split_terminator('\n') {
        let fail = |why: &str| Err(format!("{why}: {line:?}"));
        if let Some(rest) = line.strip_prefix("# ") {
            let mut words = rest.splitn(3, ' ');
            let (keyword, name) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
            let text = words.next().unwrap_or_default();
            if !is_name(name) {
                return fail("bad family name");
            }
            match keyword {
                "HELP" if helped.insert(name.to_owned()) => current = name.to_owned(),
                "TYPE" if name == current && !read.types.contains_key(name) => {
                    read.types.insert(name.to_owned(), text.to_owned());
                }
                "UNIT" if open_metrics && name == current && name.ends_with(&format!("_{text}")) => (),
                _ => return fail("unexpected comment"),
            }
            continue;
        }
        let (name, labels, value) = sample(line).map_err(|why| format!("{why}: {line:?}"))?;
        let Some(kind) = read.types.get(&current) else { return fail("sample before its type") };
        let is_its = match kind.as_str() {
            "counter" if open_metrics => name == format!("{current}_total"),
            "histogram" => ["bucket", "sum", "count"].iter().any(|one| name == format!("{current}_{one}")),
            _ => name == current,
        };
        if !is_its {
            return fail("sample outside its family");
        }
        if value.parse::<f64>().map_or(true, |value| !value.is_finite()) {
            return fail("bad value");
        }
        if !seen.insert((name.clone(), labels.clone())) {
            return fail("a series twice");
        }
        read.samples.push((name, labels, value));
    }
    Ok(read)
}

fn is_name(name: &str) -> bool {
    name.starts_with(|one: char| one.is_ascii_lowercase())
        && name.chars().all(|one| one.is_ascii_lowercase() || one.is_ascii_digit() || one == '_')
}

fn sample(line: &str) -> Result<(String, Labels, String), &'static str> {
    let end = line.find(['{', ' ']).ok_or("no value")?;
    let name = line[..end].to_owned();
    let mut rest = &line[end..];
    let mut labels = Labels::new();
    if let Some(mut inside) = rest.strip_prefix('{') {
        loop {
            let (label, after) = inside.split_once("=\"").ok_or("label without a value")?;
            if !is_name(label) {
                return Err("bad label name");
            }
            let (value, after) = quoted(after)?;
            labels.push((label.to_owned(), value));
            match after.strip_prefix(',') {
                Some(next) => inside = next,
                None => {
                    rest = after.strip_prefix('}').ok_or("labels do not end")?;
                    break;
                }
            }
        }
    }
    let value = rest.strip_prefix(' ').ok_or("no blank before the value")?;
    Ok((name, labels, value.to_owned()))
}

fn quoted(text: &str) -> Result<(String, &str), &'static str> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, one)) = characters.next() {
        match one {
            '"' => return Ok((value, &text[at + 1..])),
            '\\' => match characters.next() {
                Some((_, 'n')) => value.push('\n'),
                Some((_, escaped @ ('\\' | '"'))) => value.push(escaped),
                _ => return Err("bad escape"),
            },
            one => value.push(one),
        }
    }
    Err("quote does not end")
}
