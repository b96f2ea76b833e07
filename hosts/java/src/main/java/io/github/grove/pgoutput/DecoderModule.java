package io.github.grove.pgoutput;

import com.dylibso.chicory.compiler.MachineFactoryCompiler;
import com.dylibso.chicory.runtime.ByteArrayMemory;
import com.dylibso.chicory.runtime.HostFunction;
import com.dylibso.chicory.runtime.ImportValues;
import com.dylibso.chicory.runtime.Instance;
import com.dylibso.chicory.runtime.Machine;
import com.dylibso.chicory.wasm.ChicoryException;
import com.dylibso.chicory.wasm.Parser;
import com.dylibso.chicory.wasm.WasmModule;
import com.dylibso.chicory.wasm.types.FunctionType;
import com.dylibso.chicory.wasm.types.ValType;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.function.Function;

/**
 * The decoder's core module, compiled to JVM bytecode: once for any number of decoders. It must be
 * one without simd128, which Chicory's compiler does not have.
 */
public final class DecoderModule {
  /** Names the core module that {@link #standard} loads. */
  public static final String PATH_VARIABLE = "PGOUTPUT_DECODER_CORE_WASM";

  private static final String DEFAULT_PATH = "../../target/wasm/decoder.core.plain.wasm";

  private static DecoderModule standard;

  private final WasmModule module;
  private final Function<Instance, Machine> machine;

  private DecoderModule(WasmModule module) {
    this.module = module;
    machine = MachineFactoryCompiler.compile(module);
  }

  /** Loads and compiles a core module. */
  public static DecoderModule load(Path path) throws IOException {
    var bytes = Files.readAllBytes(path);
    HotSpot.keepComparisonsApart();
    try {
      return new DecoderModule(Parser.parse(bytes));
    } catch (ChicoryException problem) {
      throw new DecoderException.Module(
          path, "cannot be compiled: " + problem.getMessage(), problem);
    }
  }

  /** The module that the environment names, loaded when it is first wanted. */
  public static synchronized DecoderModule standard() throws IOException {
    if (standard == null) {
      var named = System.getenv(PATH_VARIABLE);
      standard = load(Path.of(named == null ? DEFAULT_PATH : named));
    }
    return standard;
  }

  Guest open(Map<String, String> options) {
    var instance =
        Instance.builder(module)
            .withMachineFactory(machine)
            // HotSpot compiles its accesses to one bounds check each; the default's are calls.
            .withMemoryFactory(ByteArrayMemory::new)
            .withImportValues(ImportValues.builder().addFunction(intrinsics()).build())
            .build();
    return new Guest(instance, options);
  }

  /** What the component model would do: a handle is its representation, as only we have handles. */
  private HostFunction[] intrinsics() {
    return module.importSection().stream()
        .map(
            wanted -> {
              var drops = wanted.name().startsWith("[resource-drop]");
              List<ValType> results = drops ? List.of() : List.of(ValType.I32);
              return new HostFunction(
                  wanted.module(),
                  wanted.name(),
                  FunctionType.of(List.of(ValType.I32), results),
                  (self, arguments) -> drops ? null : arguments);
            })
        .toArray(HostFunction[]::new);
  }
}
