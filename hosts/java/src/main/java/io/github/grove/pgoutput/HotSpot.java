package io.github.grove.pgoutput;

import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import javax.management.InstanceNotFoundException;
import javax.management.JMException;
import javax.management.ObjectName;

/**
 * Keeps HotSpot before Java 21 from compiling the decoder wrongly: where its optimising compiler
 * inlines {@code Integer.compareUnsigned}, comparisons come out the other way now and then
 * (JDK-8376400). Chicory 1.7.5 guards two of its methods against that, and not these.
 */
final class HotSpot {
  private static final int FIRST_SOUND = 21;
  private static final String OPERATORS = "com/dylibso/chicory/runtime/OpcodeImpl.";
  private static final String[] COMPARISONS = {
    "I32_GE_U", "I32_GT_U", "I32_LE_U", "I32_LT_U", "I64_GE_U", "I64_GT_U", "I64_LE_U", "I64_LT_U"
  };
  private static boolean isTold;

  private HotSpot() {}

  /** To be called before any of the decoder's code runs. */
  static synchronized void keepComparisonsApart() throws IOException {
    if (isTold || Runtime.version().feature() >= FIRST_SOUND) {
      return;
    }
    var directives = Files.createTempFile("pgoutput-decoder", ".json");
    try {
      var methods = "\"-" + OPERATORS + String.join("\", \"-" + OPERATORS, COMPARISONS) + "\"";
      Files.writeString(directives, "[{match: \"*.*\", inline: [" + methods + "]}]");
      var added =
          ManagementFactory.getPlatformMBeanServer()
              .invoke(
                  new ObjectName("com.sun.management:type=DiagnosticCommand"),
                  "compilerDirectivesAdd",
                  new Object[] {new String[] {"\"" + directives + "\""}},
                  new String[] {String[].class.getName()});
      if (!String.valueOf(added).contains("1 compiler directives added")) {
        throw new IllegalStateException("HotSpot took no compiler directives: " + added);
      }
      isTold = true;
    } catch (InstanceNotFoundException notHotSpot) {
      isTold = true;
    } catch (JMException problem) {
      throw new IllegalStateException("HotSpot took no compiler directives", problem);
    } finally {
      Files.delete(directives);
    }
  }
}
