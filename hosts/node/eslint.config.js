import js from "@eslint/js";
import ts from "typescript-eslint";

export default ts.config(
  { ignores: ["component/", "dist/"] },
  js.configs.recommended,
  { files: ["**/*.ts"], extends: [ts.configs.strictTypeChecked, ts.configs.stylisticTypeChecked] },
  {
    files: ["**/*.ts"],
    languageOptions: { parserOptions: { projectService: true } },
    rules: {
      "@typescript-eslint/consistent-type-definitions": "off",
      "@typescript-eslint/explicit-module-boundary-types": "error",
      "@typescript-eslint/no-floating-promises": [
        "error",
        { allowForKnownSafeCalls: [{ from: "package", name: "test", package: "node:test" }] },
      ],
      "@typescript-eslint/no-unused-vars": ["error", { ignoreRestSiblings: true }],
    },
  },
  {
    // A page imports these.
    files: ["src/**/*.ts"],
    ignores: ["src/component.ts", "src/index.ts", "src/lines.ts", "src/main.ts"],
    rules: {
      "no-restricted-imports": ["error", { patterns: ["node:*"] }],
      "no-restricted-globals": ["error", "Buffer", "process"],
    },
  },
  {
    files: ["scripts/*.js"],
    languageOptions: { globals: { process: "readonly", URL: "readonly" } },
  },
);
