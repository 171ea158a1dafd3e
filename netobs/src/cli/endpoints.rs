//! `netobs endpoints`: who is on this host.

use super::{
    args::{Cli, EndpointsArgs, Output},
    output, settings, wait,
};
use crate::{client::Client, table};

pub(super) fn run(cli: &Cli, arguments: &EndpointsArgs) -> anyhow::Result<()> {
    let client = Client::new(settings(cli)?.socket);
    let text = wait(async {
        match arguments.output {
            Output::Json => Ok(String::from_utf8(client.body("/api/v1/endpoints").await?.into())?),
            Output::Table => {
                let document = client.document("/api/v1/endpoints").await?;
                Ok(table::endpoints(&document, table::Look::stdout()))
            }
        }
    })?;
    output::print(&text).map(drop)
}
