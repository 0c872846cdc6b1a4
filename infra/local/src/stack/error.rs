//! Why the stack does not start, or ends.

use std::io;

use crate::{
    api::ApiError, keys::KeyError, layout::LayoutError, moto::MotoError, outcome::OutcomeError,
    postgres::PostgresError, process::ProcessError, runtime_api::InvocationError, sample::SampleError,
    template::TemplateError, tools::ToolsError,
};

#[derive(Debug, thiserror::Error)]
pub enum StackError {
    #[error("a stack of this workspace is running (process {0}); end it with: cargo local down")]
    Running(i32),
    #[error("port {0} is in use by another program; choose another with: cargo local up --port N")]
    PortInUse(u16),
    #[error("cannot listen on port {0}: {1}")]
    Listen(u16, io::Error),
    #[error("the build failed; its output is above")]
    Build,
    #[error("cargo: {0}")]
    Cargo(String),
    #[error("the template has no function `{0}`")]
    NoFunction(&'static str),
    #[error("the template has no bucket")]
    NoBucket,
    #[error("the migrations failed: {0}")]
    Migrations(InvocationError),
    #[error("the file of the admin key: {0}")]
    KeyFile(io::Error),
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error(transparent)]
    Layout(#[from] LayoutError),
    #[error(transparent)]
    Process(#[from] ProcessError),
    #[error(transparent)]
    Postgres(#[from] PostgresError),
    #[error(transparent)]
    Tools(#[from] ToolsError),
    #[error(transparent)]
    Template(#[from] TemplateError),
    #[error(transparent)]
    Moto(#[from] MotoError),
    #[error(transparent)]
    Sample(#[from] SampleError),
    #[error(transparent)]
    Outcome(#[from] OutcomeError),
    #[error(transparent)]
    Api(#[from] ApiError),
}
