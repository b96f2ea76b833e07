import js from "@eslint/js";
import typescript from "typescript-eslint";

export default typescript.config(
  { ignores: ["dist", "src/generated", "test-results", "scripts"] },
  js.configs.recommended,
  typescript.configs.strictTypeChecked,
  {
    languageOptions: {
      parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname },
    },
    rules: {
      "@typescript-eslint/no-non-null-assertion": "error",
      "@typescript-eslint/restrict-template-expressions": "error",
    },
  },
  { files: ["*.js"], extends: [typescript.configs.disableTypeChecked] },
  // Playwright's fixtures begin with an empty pattern.
  { files: ["tests/**"], rules: { "no-empty-pattern": "off" } },
);
