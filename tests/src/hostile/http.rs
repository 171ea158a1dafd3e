//! The Engine API and the Kubernetes API over HTTP/1.1, well or hostile.

use std::{
    fs::File,
    io::{BufRead as _, BufReader, Read as _, Write as _},
};

use anyhow::{Context as _, Result};

use super::{Abuse, GIGABYTE, Switch};

/// What is asked for.
pub(super) enum Route {
    /// Who answers, and how that is said.
    First(&'static str),
    /// A list: what it is when empty, and how a long one begins, goes on and ends wrong.
    List(&'static str, [&'static str; 3]),
    /// Changes: one that means nothing, and one that says that a list is due.
    Stream(&'static str, Option<&'static str>),
}

/// The Engine API's.
pub(super) fn docker(target: &str) -> Route {
    if target.starts_with("/version") {
        return Route::First(r#"{"Version":"1.0","ApiVersion":"1.41","MinAPIVersion":"1.12"}"#);
    }
    if target.contains("/events") {
        return Route::Stream("{\"Type\":7,\"Action\":[{}]}\n", None);
    }
    let item =
        r#"{"Id":"x","Names":["/a","/b"],"State":"running","Labels":{"a":"b","c":"d"},"Mounts":[{},{}]},"#;
    Route::List("[]", ["[", item, r#"{"Id":7}]"#])
}

/// The Kubernetes API's.
pub(super) fn kubernetes(target: &str) -> Route {
    if target.starts_with("/version") {
        return Route::First(
            r#"{"major":"1","minor":"33","gitVersion":"v1.33.0","gitCommit":"","gitTreeState":"","buildDate":"","goVersion":"","compiler":"","platform":""}"#,
        );
    }
    if target.contains("watch=true") {
        return Route::Stream("{\"type\":\"ADDED\",\"object\":{\"metadata\":7}}\n", Some(EXPIRED));
    }
    let item = r#"{"metadata":{"name":"x","namespace":"y","labels":{"a":"b","c":"d"},"annotations":{"e":"ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"}},"status":{}},"#;
    Route::List(
        r#"{"apiVersion":"v1","kind":"List","metadata":{"resourceVersion":"7"},"items":[]}"#,
        [r#"{"metadata":{"resourceVersion":"7"},"items":["#, item, r#"{"metadata":7}]}"#],
    )
}

/// Of a watch whose version is too old.
const EXPIRED: &str = concat!(
    r#"{"type":"ERROR","object":{"kind":"Status","apiVersion":"v1","metadata":{},"#,
    r#""status":"Failure","message":"too old","reason":"Expired","code":410}}"#,
    "\n"
);

/// Below the agent's bounds: 16 MiB for Docker, 64 MiB for Kubernetes.
const LONG: usize = 15 << 20;

pub(super) fn serve(mut connection: File, switch: &Switch, route: fn(&str) -> Route) -> Result<()> {
    let mut reader = BufReader::new(connection.try_clone()?);
    loop {
        let (mut first, mut header) = (String::new(), String::new());
        if reader.read_line(&mut first)? == 0 {
            return Ok(());
        }
        while reader.read_line(&mut header)? > 0 && !header.trim().is_empty() {
            header.clear();
        }
        let route = route(first.split(' ').nth(1).context("no target")?);
        match (switch.abuse(), route) {
            (Some(Abuse::Hung), _) => return until_closed(reader),
            (Some(Abuse::Cut), _) => {
                chunked(&mut connection)?;
                connection.write_all(b"ffff\r\n{\"items\":[{")?;
                return until_sent(&connection);
            }
            (Some(Abuse::Wrong), _) => {
                whole(&mut connection, r#"{"items":"none","Version":7,"gitVersion":7}"#)?
            }
            (Some(Abuse::Gigabyte), Route::List(_, [begin, ..])) => {
                chunked(&mut connection)?;
                chunk(&mut connection, &format!("{begin}{{\"name\":\""))?;
                return without_end(&mut connection, "x");
            }
            (Some(Abuse::WrongLarge), Route::List(_, [begin, item, end])) => {
                whole(&mut connection, &format!("{begin}{}{end}", item.repeat(LONG / item.len())))?;
            }
            (Some(Abuse::Stream), Route::Stream(rubbish, _)) => {
                chunked(&mut connection)?;
                return without_end(&mut connection, rubbish);
            }
            (_, Route::First(body) | Route::List(body, _)) => whole(&mut connection, body)?,
            (abuse, Route::Stream(_, expired)) => {
                chunked(&mut connection)?;
                if let Some(event) = expired.filter(|_| abuse.is_some()) {
                    chunk(&mut connection, event)?;
                }
                return until_closed(reader);
            }
        }
    }
}

fn whole(connection: &mut File, body: &str) -> Result<()> {
    let length = body.len();
    let head =
        format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n");
    connection.write_all(head.as_bytes())?;
    Ok(connection.write_all(body.as_bytes())?)
}

fn chunked(connection: &mut File) -> Result<()> {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
    Ok(connection.write_all(head.as_bytes())?)
}

fn chunk(connection: &mut File, text: &str) -> Result<()> {
    Ok(connection.write_all(format!("{:x}\r\n{text}\r\n", text.len()).as_bytes())?)
}

fn without_end(connection: &mut File, text: &str) -> Result<()> {
    let text = text.repeat((64 << 10) / text.len());
    for _ in 0..GIGABYTE / text.len() {
        chunk(connection, &text)?;
    }
    Ok(())
}

fn until_closed(mut reader: BufReader<File>) -> Result<()> {
    while reader.read(&mut [0; 64])? > 0 {}
    Ok(())
}

/// The other copies of the descriptor stay open: it is the connection that must end.
fn until_sent(connection: &File) -> Result<()> {
    use std::os::fd::AsRawFd as _;
    Ok(nix::sys::socket::shutdown(connection.as_raw_fd(), nix::sys::socket::Shutdown::Both)?)
}
