//! `netobs map`: the picture of this host.

use super::{
    args::{Cli, MapArgs, MapOutput},
    output, settings, wait,
};
use crate::{client::Client, map};

pub(super) fn run(cli: &Cli, arguments: &MapArgs) -> anyhow::Result<()> {
    let client = Client::new(settings(cli)?.socket);
    let picture = async |draw: fn(&map::MapDocument) -> String| {
        let document: map::MapDocument = client.document("/api/v1/map").await?;
        Ok(draw(&if arguments.all { document } else { map::fold(document) }))
    };
    let text = wait(async {
        match arguments.output {
            MapOutput::Json => Ok(String::from_utf8(client.body("/api/v1/map").await?.into())?),
            MapOutput::Mermaid => picture(map::mermaid).await,
            MapOutput::Dot => picture(map::dot).await,
        }
    })?;
    output::print(&text).map(drop)
}
