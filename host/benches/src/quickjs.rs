//! QuickJS embedded in the host, with objects.

use rquickjs::{Array, Context, Ctx, Function, IntoJs, Object, Runtime, Value as Js};
use serde_json::Value;

use crate::{Case, Fallible, expected};

const SOURCE: &str = r#"
globalThis.judge = (event) => {
  const { total, currency, country, lines } = event.properties;
  if (!lines) return null;
  const rate = currency === "GBP" ? 1.17 : currency === "USD" ? 0.92 : 1.0;
  const worth = total * rate * (country === "United Kingdom" ? 1.0 : 0.9);
  event.properties.value_band = worth >= 200 ? "high" : worth >= 50 ? "mid" : "low";
  return event;
};
"#;

fn context() -> Fallible<Context> {
    let context = Context::full(&Runtime::new()?)?;
    context.with(|ctx| ctx.eval::<(), _>(SOURCE))?;
    Ok(context)
}

fn to_js<'js>(ctx: &Ctx<'js>, value: &Value) -> rquickjs::Result<Js<'js>> {
    match value {
        Value::Null => Ok(Js::new_null(ctx.clone())),
        Value::Bool(truth) => truth.into_js(ctx),
        Value::Number(number) => number.as_f64().unwrap_or_default().into_js(ctx),
        Value::String(text) => text.as_str().into_js(ctx),
        Value::Array(items) => {
            let array = Array::new(ctx.clone())?;
            for (at, item) in items.iter().enumerate() {
                array.set(at, to_js(ctx, item)?)?;
            }
            Ok(array.into_value())
        }
        Value::Object(members) => {
            let object = Object::new(ctx.clone())?;
            for (name, member) in members {
                object.set(name.as_str(), to_js(ctx, member)?)?;
            }
            Ok(object.into_value())
        }
    }
}

/// Reads the whole order back, as a host that does not know what was changed has to.
fn from_js(value: &Js<'_>) -> rquickjs::Result<Value> {
    if let Some(object) = value.as_object().filter(|_| !value.is_array()) {
        let mut members = serde_json::Map::new();
        for entry in object.props::<String, Js<'_>>() {
            let (name, member) = entry?;
            members.insert(name, from_js(&member)?);
        }
        return Ok(Value::Object(members));
    }
    if let Some(array) = value.as_array() {
        return array.iter::<Js<'_>>().map(|item| from_js(&item?)).collect::<rquickjs::Result<_>>().map(Value::Array);
    }
    if let Some(text) = value.as_string() {
        return Ok(text.to_string()?.into());
    }
    Ok(value.as_bool().map(Value::from).or_else(|| value.as_number().map(Value::from)).unwrap_or_default())
}

fn judge<'js>(ctx: &Ctx<'js>, judge: &Function<'js>, order: &Value) -> rquickjs::Result<Option<Value>> {
    let answer: Js<'js> = judge.call((to_js(ctx, order)?,))?;
    if answer.is_null() { Ok(None) } else { from_js(&answer).map(Some) }
}

pub(crate) fn cases(_: &[String], orders: &[Value]) -> Fallible<Vec<Case>> {
    let context = context()?;
    context.with(|ctx| -> Fallible<()> {
        let function: Function<'_> = ctx.globals().get("judge")?;
        for order in orders {
            let got = judge(&ctx, &function, order)?;
            let band = got.as_ref().and_then(|order| order["properties"]["value_band"].as_str());
            if band != expected(order) {
                return Err(format!("QuickJS: {order} came to {band:?}").into());
            }
        }
        Ok(())
    })?;
    let orders = orders.to_vec();
    Ok(vec![Case::new("QuickJS embedded (rquickjs), objects", 64, move |n| {
        context.with(|ctx| {
            let function: Function<'_> = ctx.globals().get("judge").expect("it was defined");
            let start = n * 64 % orders.len();
            for order in &orders[start..start + 64] {
                std::hint::black_box(judge(&ctx, &function, order).expect("it was tried"));
            }
        });
    })])
}
