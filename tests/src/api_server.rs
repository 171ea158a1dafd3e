//! A small Kubernetes API of the tests' own: lists and watches of whatever it is told, over plain HTTP, inside one
//! network stack. It can go away and return.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    io::{BufRead, BufReader, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::netns::Stack;

/// A server, stopped when dropped.
#[derive(Debug)]
pub struct ApiServer {
    stack: Stack,
    address: SocketAddr,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug, Default)]
struct Shared {
    /// Objects by the plural of their kind, then by namespace and name.
    objects: BTreeMap<String, BTreeMap<String, Value>>,
    version: u64,
    /// Connections with an open watch, by kind.
    watches: Vec<(String, TcpStream)>,
    /// Every open connection.
    connections: Vec<TcpStream>,
    /// Which run of the server this is; a listener of an earlier one ends.
    run: u64,
    is_up: bool,
}

fn locked(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ApiServer {
    /// Starts to answer at an address of the stack.
    ///
    /// # Errors
    /// When the address is taken.
    pub fn start(stack: &Stack, address: SocketAddr) -> Result<Self> {
        let mut server = Self { stack: stack.clone(), address, shared: Arc::default() };
        server.start_again()?;
        Ok(server)
    }

    /// Answers again, after [`Self::stop`].
    ///
    /// # Errors
    /// When the address is taken.
    pub fn start_again(&mut self) -> Result<()> {
        let address = self.address;
        let listener = self.stack.within(move || TcpListener::bind(address))??;
        let run = {
            let mut shared = locked(&self.shared);
            shared.run += 1;
            shared.is_up = true;
            shared.run
        };
        let shared = Arc::clone(&self.shared);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let mut state = locked(&shared);
                if !state.is_up || state.run != run {
                    return;
                }
                state.connections.extend(stream.try_clone());
                drop(state);
                let shared = Arc::clone(&shared);
                thread::spawn(move || serve(stream, &shared).ok());
            }
        });
        Ok(())
    }

    /// Ends every connection and refuses new ones.
    ///
    /// # Errors
    /// When its listener cannot be woken.
    pub fn stop(&mut self) -> Result<()> {
        let mut shared = locked(&self.shared);
        shared.is_up = false;
        shared.watches.clear();
        for connection in shared.connections.drain(..) {
            connection.shutdown(Shutdown::Both).ok();
        }
        drop(shared);
        // The listener ends at its next connection: this one.
        let address = self.address;
        drop(self.stack.within(move || TcpStream::connect(address))?);
        Ok(())
    }

    /// Puts an object, new or changed.
    ///
    /// # Errors
    /// When it has no name.
    pub fn put(&self, kind: &str, mut object: Value) -> Result<()> {
        let key = key(&object)?;
        let mut shared = locked(&self.shared);
        shared.version += 1;
        object["metadata"]["resourceVersion"] = shared.version.to_string().into();
        let known = shared.objects.entry(kind.to_owned()).or_default().insert(key, object.clone());
        shared.tell(kind, if known.is_some() { "MODIFIED" } else { "ADDED" }, &object);
        Ok(())
    }

    /// A kubeconfig file that leads here.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn kubeconfig(&self, directory: &Path) -> Result<PathBuf> {
        let path = directory.join("kubeconfig");
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "lab",
            "clusters": [{"name": "lab", "cluster": {"server": format!("http://{}", self.address)}}],
            "users": [{"name": "lab", "user": {}}],
            "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": "lab"}}],
        });
        fs::write(&path, config.to_string())?;
        Ok(path)
    }
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        self.stop().ok();
    }
}

fn key(object: &Value) -> Result<String> {
    let metadata = &object["metadata"];
    let name = metadata["name"].as_str().context("an object without a name")?;
    Ok(format!("{}/{name}", metadata["namespace"].as_str().unwrap_or_default()))
}

impl Shared {
    /// Begins a watch with what has changed since a version, as every API server does.
    fn watch(&mut self, kind: &str, since: u64, mut stream: TcpStream) {
        let version = |one: &Value| one["metadata"]["resourceVersion"].as_str()?.parse::<u64>().ok();
        let objects = self.objects.get(kind).into_iter().flat_map(BTreeMap::values);
        let missed: String =
            objects.filter(|one| version(one) > Some(since)).map(|one| event("MODIFIED", one)).collect();
        if stream.write_all(missed.as_bytes()).is_ok() {
            self.watches.push((kind.to_owned(), stream));
        }
    }

    fn tell(&mut self, kind: &str, what: &str, object: &Value) {
        let chunk = event(what, object);
        self.watches
            .retain_mut(|(watched, stream)| watched != kind || stream.write_all(chunk.as_bytes()).is_ok());
    }

    fn list(&self, kind: &str, node: Option<&str>) -> Value {
        let objects = self.objects.get(kind).into_iter().flat_map(BTreeMap::values);
        let items: Vec<&Value> =
            objects.filter(|one| node.is_none_or(|node| one["spec"]["nodeName"] == node)).collect();
        let metadata = json!({"resourceVersion": self.version.to_string()});
        json!({"apiVersion": "v1", "kind": "List", "metadata": metadata, "items": items})
    }
}

/// An event as a chunk of HTTP.
fn event(what: &str, object: &Value) -> String {
    let line = format!("{}\n", json!({"type": what, "object": object}));
    format!("{:x}\r\n{line}\r\n", line.len())
}

fn serve(mut stream: TcpStream, shared: &Mutex<Shared>) -> Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    loop {
        let mut first = String::new();
        if reader.read_line(&mut first)? == 0 {
            return Ok(());
        }
        let mut header = String::new();
        while reader.read_line(&mut header)? > 0 && !header.trim().is_empty() {
            header.clear();
        }
        let target = first.split(' ').nth(1).context("no target")?;
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let kind = path.rsplit('/').next().unwrap_or_default();
        if query.contains("watch=true") {
            let head =
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
            stream.write_all(head.as_bytes())?;
            let since = query.split("resourceVersion=").nth(1).and_then(|rest| rest.split('&').next());
            locked(shared).watch(kind, since.and_then(|text| text.parse().ok()).unwrap_or(0), stream);
            return Ok(());
        }
        let node = query.split("spec.nodeName%3D").nth(1).and_then(|rest| rest.split('&').next());
        let body = match kind {
            "version" => json!({"major": "1", "minor": "33", "gitVersion": "v1.33.0", "gitCommit": "",
                "gitTreeState": "", "buildDate": "", "goVersion": "", "compiler": "", "platform": ""}),
            _ => locked(shared).list(kind, node),
        };
        let body = body.to_string();
        let mut answer = String::new();
        write!(
            answer,
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )?;
        stream.write_all(answer.as_bytes())?;
    }
}
