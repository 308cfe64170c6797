// What `cdp.outside` takes: interfaces of the contract that a connector which sends by itself may import.
declare module "cdp:plugin/http@1.0.0" {
  const http: unknown;
  export default http;
}
declare module "cdp:plugin/kv@1.0.0" {
  const kv: unknown;
  export default kv;
}
