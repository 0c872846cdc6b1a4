//! Splits the source into tokens and checks every bound and the token order. `evalexpr` recurses and would overflow the
//! stack on deeply nested input, so it only sees what passed here.

use super::{FormulaError, FormulaErrorKind as Kind};
use crate::spelling::nearest;
use crate::text_enum;
use rust_decimal::Decimal;

/// Longest source, in bytes.
pub const SOURCE_BYTES_MAX: usize = 512;
/// Most open parentheses and signs around one value.
pub const NESTING_MAX: usize = 32;
/// Most operators and calls in one formula; also bounds the depth of chains such as `a - b - c`.
pub const OPERATORS_MAX: usize = 100;
/// Most significant digits of a literal.
pub const DIGITS_MAX: usize = 15;

text_enum! {
    pub enum Function as "function" {
        Min = "min",
        Max = "max",
        Abs = "abs",
        Floor = "floor",
        Ceil = "ceil",
        Round = "round",
        If = "if",
    }
}

#[derive(Debug, Clone, PartialEq)]
pub enum Token {
    Number(Decimal),
    Text(String),
    Flag(bool),
    Name(String),
    Call(Function),
    Operator(&'static str),
    Open,
    Close,
    Comma,
}

/// A token and its position in characters, from 1.
#[derive(Debug, Clone, PartialEq)]
pub struct Placed {
    pub token: Token,
    pub position: usize,
}

fn error(position: usize, kind: Kind) -> FormulaError {
    FormulaError { position, kind }
}

/// Returns the tokens of a source, after checking that it keeps all bounds and that values and operators alternate.
pub fn scan(source: &str) -> Result<Vec<Placed>, FormulaError> {
    if source.len() > SOURCE_BYTES_MAX {
        return Err(error(1, Kind::TooLong));
    }
    let mut tokens = tokens(source)?;
    name_calls(&mut tokens)?;
    check_order(&tokens)?;
    Ok(tokens)
}

fn tokens(source: &str) -> Result<Vec<Placed>, FormulaError> {
    let chars: Vec<char> = source.chars().collect();
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(&c) = chars.get(at) {
        if c.is_ascii_whitespace() {
            at += 1;
            continue;
        }
        let (token, length) = match c {
            '0'..='9' | '.' => number(&chars[at..], at + 1)?,
            'a'..='z' | 'A'..='Z' | '_' => name(&chars[at..]),
            '"' => text(&chars[at..], at + 1)?,
            '(' => (Token::Open, 1),
            ')' => (Token::Close, 1),
            ',' => (Token::Comma, 1),
            _ => operator(&chars[at..], at + 1)?,
        };
        tokens.push(Placed {
            token,
            position: at + 1,
        });
        at += length;
    }
    Ok(tokens)
}

fn is_word(c: &char) -> bool {
    c.is_ascii_alphanumeric() || *c == '_' || *c == '.'
}

fn number(chars: &[char], position: usize) -> Result<(Token, usize), FormulaError> {
    let literal: String = chars.iter().take_while(|c| is_word(c)).collect();
    let digits = literal.chars().filter(char::is_ascii_digit);
    if digits.skip_while(|c| *c == '0').count() > DIGITS_MAX {
        return Err(error(position, Kind::TooManyDigits));
    }
    // Refuses "1.", "1.2.3", "1e5" and "0x10": each number has one spelling.
    let plain = literal.chars().all(|c| c.is_ascii_digit() || c == '.') && !literal.ends_with('.');
    match Decimal::from_str_exact(&literal) {
        Ok(number) if plain => Ok((Token::Number(number), literal.len())),
        _ => Err(error(position, Kind::NumberLiteral(literal))),
    }
}

fn name(chars: &[char]) -> (Token, usize) {
    let name: String = chars.iter().take_while(|c| is_word(c)).collect();
    let length = name.len();
    let token = match name.as_str() {
        "true" => Token::Flag(true),
        "false" => Token::Flag(false),
        _ => Token::Name(name),
    };
    (token, length)
}

fn text(chars: &[char], position: usize) -> Result<(Token, usize), FormulaError> {
    let text: String = chars[1..].iter().take_while(|c| **c != '"').collect();
    let length = text.chars().count();
    if text.contains('\\') || chars.get(length + 1) != Some(&'"') {
        return Err(error(position, Kind::TextLiteral));
    }
    Ok((Token::Text(text), length + 2))
}

fn operator(chars: &[char], position: usize) -> Result<(Token, usize), FormulaError> {
    const OPERATORS: [&str; 14] = [
        "==", "!=", "<=", ">=", "&&", "||", "<", ">", "!", "+", "-", "*", "/", "%",
    ];
    let starts_with = |operator: &str| operator.chars().enumerate().all(|(i, c)| chars.get(i) == Some(&c));
    // `+=` and the like are assignments too.
    if chars.get(1) == Some(&'=') && "+-*/%^".contains(chars[0]) {
        return Err(error(position, Kind::Assignment));
    }
    if let Some(operator) = OPERATORS.into_iter().find(|operator| starts_with(operator)) {
        return Ok((Token::Operator(operator), operator.len()));
    }
    match chars[0] {
        '^' => Ok((Token::Operator("^"), 1)),
        '=' => Err(error(position, Kind::Assignment)),
        ';' => Err(error(position, Kind::Chain)),
        other => Err(error(position, Kind::Character(other))),
    }
}

/// Turns names before a parenthesis into calls.
fn name_calls(tokens: &mut [Placed]) -> Result<(), FormulaError> {
    for index in 0..tokens.len() {
        let Token::Name(name) = &tokens[index].token else {
            continue;
        };
        if tokens.get(index + 1).is_none_or(|next| next.token != Token::Open) {
            continue;
        }
        let Some(function) = Function::parse(name) else {
            let nearest = nearest(name, Function::ALL.iter().map(|function| function.as_str())).map(str::to_owned);
            return Err(error(
                tokens[index].position,
                Kind::UnknownFunction {
                    name: name.clone(),
                    nearest,
                },
            ));
        };
        tokens[index].token = Token::Call(function);
    }
    Ok(())
}

impl Token {
    /// The token as an error message shows it.
    fn describe(&self) -> String {
        match self {
            Token::Number(number) => number.to_string(),
            Token::Text(text) => format!("{text:?}"),
            Token::Flag(flag) => flag.to_string(),
            Token::Name(name) => name.clone(),
            Token::Call(function) => function.as_str().to_owned(),
            Token::Operator(operator) => (*operator).to_owned(),
            Token::Open => "(".to_owned(),
            Token::Close => ")".to_owned(),
            Token::Comma => ",".to_owned(),
        }
    }
}

/// One open parenthesis.
struct Frame {
    position: usize,
    /// Whether it opens the arguments of a call, where commas are allowed.
    is_call: bool,
    /// Nesting outside it.
    nesting: usize,
}

/// Checks that values and operators alternate, parentheses match, and nesting and operators are within bounds.
fn check_order(tokens: &[Placed]) -> Result<(), FormulaError> {
    let mut frames: Vec<Frame> = Vec::new();
    let (mut nesting, mut operators, mut expect_value, mut after_call) = (0, 0, true, false);
    for Placed { token, position } in tokens {
        let position = *position;
        let out_of_place = || match expect_value {
            true => error(position, Kind::ExpectedValue(token.describe())),
            false => error(position, Kind::ExpectedOperator(token.describe())),
        };
        let is_call = std::mem::replace(&mut after_call, matches!(token, Token::Call(_)));
        match token {
            Token::Number(_) | Token::Text(_) | Token::Flag(_) | Token::Name(_) if expect_value => {
                expect_value = false;
                nesting = frames.last().map_or(0, |frame| frame.nesting + 1);
            }
            Token::Call(_) if expect_value => operators += 1,
            Token::Operator("-" | "!") if expect_value => {
                operators += 1;
                nesting += 1;
            }
            Token::Operator("!") => return Err(out_of_place()),
            Token::Operator(_) if !expect_value => {
                operators += 1;
                expect_value = true;
            }
            Token::Open if expect_value => {
                frames.push(Frame {
                    position,
                    is_call,
                    nesting,
                });
                nesting += 1;
            }
            Token::Close if !expect_value => {
                frames.pop().ok_or_else(|| error(position, Kind::Unbalanced))?;
                nesting = frames.last().map_or(0, |outer| outer.nesting + 1);
            }
            Token::Comma if !expect_value => {
                if !frames.last().is_some_and(|frame| frame.is_call) {
                    return Err(error(position, Kind::Comma));
                }
                expect_value = true;
            }
            _ => return Err(out_of_place()),
        }
        if nesting > NESTING_MAX {
            return Err(error(position, Kind::TooDeep));
        }
        if operators > OPERATORS_MAX {
            return Err(error(position, Kind::TooManyOperators));
        }
    }
    match (tokens.last(), frames.last()) {
        (None, _) => Err(error(1, Kind::Empty)),
        (Some(last), _) if expect_value => Err(error(last.position, Kind::ExpectedValue("the end".to_owned()))),
        (_, Some(frame)) => Err(error(frame.position, Kind::Unbalanced)),
        _ => Ok(()),
    }
}

/// The source for `evalexpr`: every value and function becomes `t` and its token's index, separated by spaces.
pub fn rename(tokens: &[Placed]) -> String {
    let mut renamed = String::new();
    for (index, placed) in tokens.iter().enumerate() {
        match &placed.token {
            Token::Operator(operator) => renamed.push_str(operator),
            Token::Open => renamed.push('('),
            Token::Close => renamed.push(')'),
            Token::Comma => renamed.push(','),
            _ => renamed.push_str(&format!("t{index}")),
        }
        renamed.push(' ');
    }
    renamed
}

/// The index of the token that [`rename`] gave this name.
pub fn token_index(name: &str) -> Option<usize> {
    name.strip_prefix('t')?.parse().ok()
}
