//! Output for people. Nobody may be reading any more (`| head`, a closed terminal): that must not end the stack,
//! as the panic of `println!` would.

/// A line on standard output.
macro_rules! say {
    ($($text:tt)*) => {{
        let _ = std::io::Write::write_fmt(&mut std::io::stdout(), format_args!("{}\n", format_args!($($text)*)));
    }};
}

/// A line on standard error, that something went wrong and is being dealt with.
macro_rules! caution {
    ($($text:tt)*) => {{
        let _ = std::io::Write::write_fmt(&mut std::io::stderr(), format_args!("warning: {}\n", format_args!($($text)*)));
    }};
}

pub(crate) use {caution, say};
