// Who is signed in: {user, tags, may_write, broker: {product, version, name}, local}.
import { createContext, useContext } from "./vendor/preact-htm.js";

export const Me = createContext(null);
export const useMe = () => useContext(Me);
