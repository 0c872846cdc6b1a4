//! The routes of a function. Every route states who may call it.

use crate::auth::{self, Auth, Guard};
use crate::clock::{Clock, TellsTime};
use crate::problem::{self, Problem};
use axum::extract::{DefaultBodyLimit, Request};
use axum::handler::Handler;
use axum::http::Method;
use axum::http::StatusCode;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{MethodFilter, on};
use axum::{Extension, Router};
use domain::access::Role;

/// Largest request body, in bytes: the limit of Lambda.
pub const BODY_BYTES_MAX: usize = 6 * 1024 * 1024;

/// Who may call a route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Access {
    /// Anyone, without a key.
    Public,
    /// Callers whose role includes one of these.
    AnyOf(Vec<Role>),
}

impl Access {
    pub fn allows(&self, role: Role) -> bool {
        match self {
            Access::Public => true,
            Access::AnyOf(required) => required.iter().any(|required| role.includes(*required)),
        }
    }
}

impl From<Role> for Access {
    fn from(role: Role) -> Self {
        Access::AnyOf(vec![role])
    }
}

impl<const N: usize> From<[Role; N]> for Access {
    fn from(roles: [Role; N]) -> Self {
        Access::AnyOf(roles.into())
    }
}

/// One method of one path.
#[derive(Debug, Clone)]
pub struct Route {
    pub method: Method,
    /// In the router's syntax: `/api/players/{player_id}`.
    pub path: &'static str,
    pub access: Access,
}

/// A router in which every route names its access. It lists its routes, so that tests can call each with each role and
/// compare them with the template.
pub struct Api<S> {
    auth: Auth,
    router: Router<S>,
    routes: Vec<Route>,
}

macro_rules! method {
    ($name:ident, $filter:ident) => {
        pub fn $name<H, T>(self, path: &'static str, access: impl Into<Access>, handler: H) -> Self
        where
            H: Handler<T, S>,
            T: 'static,
        {
            self.route(
                MethodFilter::$filter,
                Method::$filter,
                path,
                access.into(),
                handler,
            )
        }
    };
}

impl<S: Clone + Send + Sync + 'static> Api<S> {
    pub fn new(auth: Auth) -> Self {
        Self {
            auth,
            router: Router::new(),
            routes: Vec::new(),
        }
    }

    method!(get, GET);
    method!(post, POST);
    method!(put, PUT);
    method!(delete, DELETE);

    fn route<H, T>(
        mut self,
        filter: MethodFilter,
        method: Method,
        path: &'static str,
        access: Access,
        handler: H,
    ) -> Self
    where
        H: Handler<T, S>,
        T: 'static,
    {
        let guarded = match &access {
            Access::Public => on(filter, handler),
            Access::AnyOf(_) => {
                let guard = Guard {
                    auth: self.auth.clone(),
                    access: access.clone(),
                };
                on(filter, handler).route_layer(from_fn_with_state(guard, auth::check))
            }
        };
        self.router = self.router.route(path, guarded);
        self.routes.push(Route { method, path, access });
        self
    }

    pub fn routes(&self) -> &[Route] {
        &self.routes
    }

    /// Also turns unknown paths, wrong methods, oversized bodies and panics into problems. Key checks and handlers read
    /// the time from `clock`.
    pub fn into_router(self, state: S, clock: impl TellsTime) -> Router {
        self.router
            .fallback(no_such_path)
            .method_not_allowed_fallback(no_such_method)
            .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
            .layer(Extension(Clock::new(clock)))
            .layer(from_fn(problem::boundary))
            .with_state(state)
    }
}

async fn no_such_path(request: Request) -> Problem {
    Problem::new(
        StatusCode::NOT_FOUND,
        format!("there is nothing at {}", request.uri().path()),
    )
}

async fn no_such_method(request: Request) -> Problem {
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        format!("{} does not support {}", request.uri().path(), request.method()),
    )
}
