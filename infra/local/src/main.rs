//! `cargo local`: the whole platform on one machine, built from the same parts as in the cloud.
//!
//! It runs PostgreSQL, S3 and SQS (moto), the functions with their Lambda Runtime API, an HTTP gateway, the event
//! source mappings and the schedules, all as `template.yaml` describes them. Nothing exists that is not in the
//! template.

mod api;
mod audit;
mod aws;
mod command;
mod function;
mod gateway;
mod http_event;
mod keys;
mod layout;
mod moto;
mod outcome;
mod poller;
mod postgres;
mod process;
mod runtime_api;
mod sample;
mod stack;
mod stop;
mod tell;
mod template;
mod tick;
mod timer;
mod tools;

use std::process::ExitCode;

use clap::Parser;

#[tokio::main]
async fn main() -> ExitCode {
    match command::run(command::Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("error: {problem}");
            ExitCode::FAILURE
        }
    }
}
