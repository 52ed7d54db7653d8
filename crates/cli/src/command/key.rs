//! `key`: make key files and show what they are.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Subcommand};

use crate::exit::{CliError, Exit};
use crate::output::Output;
use crate::{files, keys};

/// Make key files and show what they are.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Example:\n  assent key generate --out my-key.pem\n  assent key show my-key.pem --id")]
pub(crate) struct Args {
    #[command(subcommand)]
    command: KeyCommand,
}

#[derive(Debug, Subcommand)]
enum KeyCommand {
    Generate(Generate),
    Show(Show),
}

/// Make an Ed25519 key file (PKCS#8 PEM, mode 0600) and print the key's id.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Example:
  assent key generate --out my-key.pem
  assent key generate --out - | vault kv put secret/my-key pem=-

With `--out -` no file is made: the private key goes to stdout and its id to stderr. With
`--output json` one document has both. If nobody reads stdout, it ends with exit code 1, and
the key is lost.")]
struct Generate {
    /// The file to make; an existing file is never overwritten. `-` is stdout
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// Show a key's id, its key id in DSSE signatures, and its public key.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Example:\n  assent key show my-key.pem\n  assent key show my-key.pem --id")]
struct Show {
    /// A private or public key file (PEM)
    file: PathBuf,
    /// Print only the id `ed25519:…`
    #[arg(long)]
    id: bool,
}

pub(crate) async fn run(args: Args, output: Output) -> Result<Exit, CliError> {
    match args.command {
        KeyCommand::Generate(args) => generate(&args, output),
        KeyCommand::Show(args) => show(&args, output),
    }
}

fn generate(args: &Generate, output: Output) -> Result<Exit, CliError> {
    let key = keys::generate()?;
    let id = key.public().to_string();
    if files::is_stdio(&args.out) {
        let pem = key.to_pem();
        let value = serde_json::json!({ "id": id, "keyid": key.public().keyid(), "pem": pem.as_str() });
        output.product(&value, || pem.as_str().to_owned())?;
        if output == Output::Text {
            output.say(&id);
        }
        return Ok(Exit::Ok);
    }
    keys::write_new(&args.out, &key)?;
    let value = serde_json::json!({ "id": id, "keyid": key.public().keyid(), "file": args.out.display().to_string() });
    let file = args.out.display();
    let (done, then) = (format!("the key is in `{file}`"), format!("`assent key show {file}` prints its id"));
    output.done(&value, || id.clone(), &done, &then)?;
    Ok(Exit::Ok)
}

fn show(args: &Show, output: Output) -> Result<Exit, CliError> {
    let key = keys::read_public(&args.file)?;
    let (id, keyid, pem) = (key.to_string(), key.keyid(), key.to_pem());
    let value = serde_json::json!({ "id": id, "keyid": keyid, "pem": pem });
    output.result(&value, || {
        if args.id { id.clone() } else { format!("id:    {id}\nkeyid: {keyid}\n{pem}") }
    })?;
    Ok(Exit::Ok)
}
