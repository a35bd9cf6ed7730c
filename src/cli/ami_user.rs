//! `asterguard ami-user`

use std::io;
use std::path::Path;

use clap::Args;

use super::output::{Failure, Output};
use super::{ConfigArg, Exit};
use crate::config::is_user;
use crate::config::load::load_ami;
use crate::decide::plan_files::PlanError;
use crate::services::ami_session::stanza;
use crate::sources::ami_secret;
use crate::sys::user::User;

/// The group that reads the secret: that of the service.
const GROUP: &str = "asterguard";

/// What stands in the place of a secret that is not known.
const NO_SECRET: &str = "SECRET";

#[derive(Debug, Args)]
pub struct AmiUserArgs {
    /// Name of the user [default: the one in the configuration, else asterguard]
    #[arg(long, value_name = "NAME", value_parser = user)]
    name: Option<String>,
    /// Make a random secret and write it into the secret file; one that is there is used, and never changed
    #[arg(long)]
    generate: bool,
    #[command(flatten)]
    config: ConfigArg,
}

fn user(text: &str) -> Result<String, String> {
    let help = || "write letters, digits, - and _, at most 64, and not general".to_owned();
    is_user(text).then(|| text.to_owned()).ok_or_else(help)
}

pub fn ami_user(args: &AmiUserArgs, output: &Output) -> Result<(), Failure> {
    let access = load_ami(args.config.config.as_deref()).map_err(PlanError::from)?;
    let access = access.unwrap_or_default();
    let name = args.name.as_deref().unwrap_or(&access.user);
    let file = &access.secretfile;
    let (secret, made) = if args.generate { secret(file)? } else { (NO_SECRET.to_owned(), false) };
    let text = text(name, &secret);
    if output.json {
        output.object(&serde_json::json!({
            "result": "done",
            "user": name,
            "secretfile": file.display().to_string(),
            "generated": made,
            "stanza": text,
        }));
        return Ok(());
    }
    output.line(text.trim_end());
    Ok(())
}

/// Returns the secret of the file, and whether it is new.
fn secret(file: &Path) -> Result<(String, bool), Failure> {
    let group = User::find(GROUP).map_err(Failure::new)?.map(|user| user.gid);
    match ami_secret::generate(file, group) {
        Ok(secret) => Ok((secret, true)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let secret =
                ami_secret::read(file, None).map_err(|error| Failure::new(error.trouble()))?;
            Ok((secret.reveal().to_owned(), false))
        }
        Err(error) => {
            let exit = match error.kind() {
                io::ErrorKind::PermissionDenied => Exit::NotPermitted,
                _ => Exit::Failed,
            };
            let message = format!("cannot make {}: {error}", file.display());
            Err(Failure { exit, message })
        }
    }
}

/// Returns the section of manager.conf, and where it goes.
fn text(name: &str, secret: &str) -> String {
    format!(
        "\
; asterguard: security events, nothing else, and only from this machine.
; Add this to /etc/asterisk/manager.conf (FreePBX: manager_custom.conf), then: asterisk -rx 'manager reload'
{}",
        stanza(name, secret)
    )
}
